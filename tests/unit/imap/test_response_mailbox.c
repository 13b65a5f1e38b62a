/* LIST, STATUS, FLAGS and CAPABILITY. */
#include "response_cases.h"

static void test_list(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* LIST (\\HasNoChildren \\Junk) \"/\" \"Spam\"\r\n",
         "list attrs=Junk delimiter=</> name=<Spam>\n"},
        {"* lsub () NIL inbox\r\n", "list attrs= delimiter=<> name=<inbox>\n"},
        {"* XLIST (\\HasNoChildren \\Inbox \\Starred \\AllMail \\Spam) \"/\" x\r\n",
         "list attrs=All,Flagged,Junk,Inbox delimiter=</> name=<x>\n"},
        {"* LIST (\\noselect) \".\" a\r\n* LIST (\\NonExistent) \".\" b\r\n",
         "list attrs=Noselect delimiter=<.> name=<a>\nlist attrs=Noselect delimiter=<.> "
         "name=<b>\n"},
        {"* LIST (\\All \\Archive \\Drafts \\Flagged \\Sent \\Trash \\Important) \"/\" x\r\n",
         "list attrs=All,Archive,Drafts,Flagged,Sent,Trash,Important delimiter=</> name=<x>\n"},
        {"* LIST () \"/\" {9}\r\n\"a\\b\r\n){1\r\n",
         "list attrs= delimiter=</> name=<\"a\\b\\x0d\\x0a){1>\n"},
        {"* LIST () \"/\" ~{2}\r\nab\r\n", "list attrs= delimiter=</> name=<ab>\n"},
        {"* LIST () \"\\\\\" \"a\\\\b \\\"c\\\"\"\r\n",
         "list attrs= delimiter=<\\> name=<a\\b \"c\">\n"},
        {"* LIST () \"/\" \"\"\r\n", "list attrs= delimiter=</> name=<>\n"},
        {"* LIST () \"/\" \"&V4NXPpCuTvY-\"\r\n",
         "list attrs= delimiter=</> name=<&V4NXPpCuTvY->\n"},
        {"* LIST (\\Subscribed) \"/\" \"x\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n",
         "list attrs= delimiter=</> name=<x>\n"},
        {"* LIST () \"/\" x (OLDNAME ({3}\r\n\r\n\"))\r\n* 1 EXISTS\r\n",
         "list attrs= delimiter=</> name=<x>\nexists 1\n"},
    };
    CASES_CHECK(rows);
}

static void test_list_slips(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        /* names that should have been quoted */
        {"* LIST () \"/\" [Gmail]/Spam\r\n", "list attrs= delimiter=</> name=<[Gmail]/Spam>\n"},
        {"* LIST () \"/\" Sent Items \r\n", "list attrs= delimiter=</> name=<Sent Items>\n"},
        {"* LIST () \"/\" Sent Items (\"X\" (1))\r\n",
         "list attrs= delimiter=</> name=<Sent Items>\n"},
        {"* LIST () \"/\" a\"b{2}c\\d(e)%*\r\n",
         "list attrs= delimiter=</> name=<a\"b{2}c\\d(e)%*>\n"},
        {"* LIST () \"/\" Entw\xc3\xbcrfe\r\n",
         "list attrs= delimiter=</> name=<Entw\\xc3\\xbcrfe>\n"},
        {"* LIST () \"/\" \"Entw\xfcrfe\"\r\n", "list attrs= delimiter=</> name=<Entw\\xfcrfe>\n"},
        {"* LIST () \"/\" ~peter/mail\r\n", "list attrs= delimiter=</> name=<~peter/mail>\n"},
        {"* LIST () \"/\" NIL\r\n", "list attrs= delimiter=</> name=<NIL>\n"},
        /* backslashes that should have been escaped */
        {"* LIST () \"/\" \"a\\b\\c\"\r\n", "list attrs= delimiter=</> name=<a\\b\\c>\n"},
        /* paths are only names here */
        {"* LIST () \"/\" \"../../etc/x\"\r\n", "list attrs= delimiter=</> name=<../../etc/x>\n"},
        {"* LIST ((\\Junk))) / x\r\n", "list attrs=Junk delimiter=</> name=<x>\n"},
        {"* LIST (\\Junk) \"long\" x\r\n", "list attrs=Junk delimiter=<> name=<x>\n"},
        {"* LIST () \"/\" x\1\1\r\n", "list attrs= delimiter=</> name=<x>\n"},
        /* names that no command could carry, and what is no LIST */
        {"* LIST () \"/\" \"a\1b\"\r\n* LIST () \"/\" {3}\r\na\1b\r\n* LIST () \"/\" a\1b\r\n",
         "other text=<LIST>\nother text=<LIST>\nother text=<LIST>\n"},
        {"* LIST\r\n* LIST ()\r\n* LIST () \"/\"\r\n* LIST () \"/\" (x)\r\n",
         "other text=<LIST>\nother text=<LIST>\nother text=<LIST>\nother text=<LIST>\n"},
        {"* LIST () (x) y\r\n* LIST NIL \"/\" y\r\n* LIST () \"\\\" y\r\n* 1 EXISTS\r\n",
         "other text=<LIST>\nother text=<LIST>\nother text=<LIST>\nexists 1\n"},
        {"* LIST () \"/\" \"torn\r\n* LIST () \"/\" x (\"torn\r\n* 1 EXISTS\r\n",
         "other text=<LIST>\nother text=<LIST>\nexists 1\n"},
    };
    CASES_CHECK(rows);
}

static void test_mailbox_status(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* STATUS blurdybloop (MESSAGES 231 UNSEEN 3 UIDNEXT 44292 UIDVALIDITY 1)\r\n",
         "mailbox name=<blurdybloop> messages=231 unseen=3 uidnext=44292 uidvalidity=1\n"},
        {"* status \"a b\" (uidnext 5 recent 2 size 77)\r\n", "mailbox name=<a b> uidnext=5\n"},
        {"* STATUS {3}\r\n(\r\n (MESSAGES 0)\r\n", "mailbox name=<(\\x0d\\x0a> messages=0\n"},
        {"* STATUS x ()\r\n* STATUS x\r\n", "mailbox name=<x>\nmailbox name=<x>\n"},
        {"* STATUS x (MAILBOXID (F2212ea87) HIGHESTMODSEQ 7 MESSAGES 2)\r\n",
         "mailbox name=<x> messages=2\n"},
        {"* STATUS Sent Items (MESSAGES 2)\r\n", "mailbox name=<Sent Items> messages=2\n"},
        {"* STATUS x ((MESSAGES 2)) UNSEEN 1)\r\n", "mailbox name=<x> messages=2 unseen=1\n"},
        {"* STATUS x (MESSAGES -1 UNSEEN 9.3736e+06 UIDNEXT 4294967296 UIDVALIDITY 0)\r\n",
         "mailbox name=<x> uidvalidity=0\n"},
        {"* STATUS x (MESSAGES UNSEEN 1 2 X 3)\r\n", "mailbox name=<x> unseen=1\n"},
        {"* STATUS\r\n* STATUS (MESSAGES 1)\r\n* STATUS \"x\1y\" (MESSAGES 1)\r\n",
         "other text=<STATUS>\nother text=<STATUS>\nother text=<STATUS>\n"},
        {"* STATUS \"torn (MESSAGES 1)\r\n* STATUS x (MESSAGES \"1)\r\n* 1 EXISTS\r\n",
         "other text=<STATUS>\nother text=<STATUS>\nexists 1\n"},
    };
    CASES_CHECK(rows);
}

static void test_flags_and_capability(void **state)
{
    (void)state;
    static const struct response_case rows[] = {
        {"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Junk)\r\n",
         "flags flags=Seen,Answered,Flagged,Deleted,Draft\n"},
        {"* FLAGS ()\r\n* FLAGS\r\n* FLAGS ((\\Seen))\r\n* FLAGS \\Seen\r\n",
         "flags flags=\nflags flags=\nflags flags=Seen\nflags flags=Seen\n"},
        {"* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED SASL-IR LITERAL- ID IDLE UIDPLUS MOVE "
         "ESEARCH SPECIAL-USE XLIST LIST-EXTENDED LIST-STATUS ENABLE NOTIFY COMPRESS=DEFLATE "
         "PARTIAL NAMESPACE CONDSTORE\r\n",
         "capability caps=IMAP4REV1,STARTTLS,LOGINDISABLED,SASL-IR,LITERAL-,ID,IDLE,UIDPLUS,MOVE,"
         "ESEARCH,SPECIAL-USE,XLIST,LIST-EXTENDED,LIST-STATUS,ENABLE,CONDSTORE,NOTIFY,COMPRESS,"
         "PARTIAL,NAMESPACE\n"},
        {"* capability imap4rev1 auth=plain AUTH=LOGIN AUTH=SCRAM-SHA-1 AUTH=SCRAM-SHA-256 "
         "AUTH=XOAUTH2 AUTH=OAUTHBEARER AUTH=X literal+ QRESYNC \r\n",
         "capability caps=IMAP4REV1,LITERAL+,CONDSTORE,QRESYNC,AUTH=PLAIN,AUTH=LOGIN,"
         "AUTH=SCRAM-SHA-1,AUTH=SCRAM-SHA-256,AUTH=XOAUTH2,AUTH=OAUTHBEARER\n"},
        {"* CAPABILITY IMAP4rev2\r\n", "capability caps=IMAP4REV2\n"},
        {"* CAPABILITY IMAP4rev1 LITERAL + COMPRESS (IDLE)\r\n* CAPABILITY\r\n",
         "capability caps=IMAP4REV1,IDLE\ncapability caps=\n"},
        {"* CAPABILITY IMAP4rev1 \"IDLE\r\n* 1 EXISTS\r\n",
         "capability caps=IMAP4REV1\nexists 1\n"},
    };
    CASES_CHECK(rows);
}

static void test_caps_complete(void **state)
{
    (void)state;
    unsigned folded_in = IMAP_CAP_SASL_IR | IMAP_CAP_LITERAL_MINUS | IMAP_CAP_IDLE |
                         IMAP_CAP_UIDPLUS | IMAP_CAP_MOVE | IMAP_CAP_ESEARCH |
                         IMAP_CAP_LIST_EXTENDED | IMAP_CAP_LIST_STATUS | IMAP_CAP_ENABLE |
                         IMAP_CAP_NAMESPACE;
    unsigned both = IMAP_CAP_IMAP4REV1 | IMAP_CAP_IMAP4REV2 | IMAP_CAP_MOVE;
    assert_int_equal(imap_caps_complete(0), 0);
    assert_int_equal(imap_caps_complete(IMAP_CAP_IMAP4REV1), IMAP_CAP_IMAP4REV1);
    assert_int_equal(imap_caps_complete(IMAP_CAP_IMAP4REV2), IMAP_CAP_IMAP4REV2 | folded_in);
    assert_int_equal(imap_caps_complete(both), both);
}

static void test_attr_parse(void **state)
{
    (void)state;
    assert_int_equal(imap_attr_parse("\\JUNK", 5), IMAP_ATTR_JUNK);
    assert_int_equal(imap_attr_parse("\\Junk ", 5), IMAP_ATTR_JUNK);
    assert_int_equal(imap_attr_parse("\\Junk ", 6), 0);
    assert_int_equal(imap_attr_parse("Junk", 4), 0);
    assert_int_equal(imap_attr_parse("\\Noselect", 9), 0); /* no special use */
    assert_int_equal(imap_attr_parse("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),           cmocka_unit_test(test_list_slips),
        cmocka_unit_test(test_mailbox_status), cmocka_unit_test(test_flags_and_capability),
        cmocka_unit_test(test_caps_complete),  cmocka_unit_test(test_attr_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
