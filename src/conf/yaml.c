#include "conf/yaml.h"

#include <string.h>

#include <libfyaml.h>

#include "conf/file.h"
#include "conf/pool.h"
#include "conf/syntax.h"
#include "conf/table.h"

enum {
    YAML_DEPTH_MOST = 32,
    /* What a file may grow to when all aliases are followed: a node weighs 1 and 1 more for each
     * 16 bytes of text. */
    YAML_WEIGHT_MOST = 20000000,
};

/* A collection whose end is still to come. */
struct conf_yaml_frame {
    struct conf_yaml *node;
    struct conf_yaml_item *last;
    struct conf_yaml *key; /* of a map, when its value comes next */
};

struct conf_yaml_builder {
    struct conf_file *file;
    struct conf_pool *nodes;
    struct conf_table anchors;
    struct conf_yaml_frame frames[YAML_DEPTH_MOST];
    unsigned depth;
    unsigned documents;
    uint32_t next_line; /* where an entry stands that is nothing but a dash, as near as it gets */
    struct conf_yaml *root;
};

static bool conf_yaml_text_is(const char *text, size_t len, const char *word)
{
    return len == strlen(word) && !memcmp(text, word, len);
}

bool conf_yaml_is(const struct conf_yaml *node, const char *text)
{
    return node->kind == CONF_YAML_SCALAR && conf_yaml_text_is(node->text, node->len, text);
}

bool conf_yaml_is_null(const struct conf_yaml *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; node->plain && i < sizeof nulls / sizeof *nulls; i++)
        if (conf_yaml_is(node, nulls[i]))
            return true;
    return false;
}

const char *conf_yaml_kind_name(const struct conf_yaml *node)
{
    if (conf_yaml_is_null(node))
        return "nothing";
    switch ((enum conf_yaml_kind)node->kind) {
    case CONF_YAML_LIST:
        return "a list";
    case CONF_YAML_MAP:
        return "a map";
    case CONF_YAML_SCALAR:
        break;
    }
    return "text";
}

static const struct conf_yaml_frame *conf_yaml_top(const struct conf_yaml_builder *builder)
{
    return builder->depth ? &builder->frames[builder->depth - 1] : NULL;
}

/* libfyaml has no place for a value that is only implied: it is where its key is, or where the
 * entry before it ends. */
static void conf_yaml_place_implied(const struct conf_yaml_builder *builder, struct conf_yaml *node)
{
    const struct conf_yaml_frame *top = conf_yaml_top(builder);
    const struct conf_yaml *near = top && top->key ? top->key : top ? top->node : NULL;
    node->line = near ? near->line : 1;
    node->column = near ? near->column : 1;
    if (near && near->kind == CONF_YAML_LIST && builder->next_line > near->line)
        node->line = builder->next_line;
}

static struct conf_yaml *conf_yaml_node(struct conf_yaml_builder *builder, struct fy_event *event,
                                        enum conf_yaml_kind kind)
{
    struct conf_yaml *node = conf_pool_alloc(builder->nodes, sizeof *node);
    const struct fy_mark *mark = fy_event_start_mark(event);
    node->kind = (uint8_t)kind;
    node->weight = 1;
    if (mark) {
        node->line = (uint32_t)mark->line + 1;
        node->column = (uint32_t)mark->column + 1;
    } else {
        conf_yaml_place_implied(builder, node);
    }
    return node;
}

/* A list in block style begins, and every collection in it ends, where the next token is. */
static void conf_yaml_advance(struct conf_yaml_builder *builder, struct fy_event *event)
{
    const struct buf *content = &builder->file->content;
    const struct fy_mark *mark = fy_event_start_mark(event);
    bool ends = event->type == FYET_MAPPING_END || event->type == FYET_SEQUENCE_END ||
                event->type == FYET_SEQUENCE_START;
    if (ends && mark && mark->input_pos < content->len)
        ends = content->data[mark->input_pos] != ']' && content->data[mark->input_pos] != '}';
    if (mark)
        builder->next_line = (uint32_t)mark->line + (ends ? 1 : 2);
    else if (event->type == FYET_SCALAR)
        builder->next_line++;
}

/* The token's text, copied unless it stands like that in the file. */
static void conf_yaml_set_text(struct conf_yaml_builder *builder, struct conf_yaml *node,
                               struct fy_token *token)
{
    const struct buf *content = &builder->file->content;
    const char *begin = (const char *)content->data;
    size_t len = 0;
    const char *text = token ? fy_token_get_text(token, &len) : "";
    if (!text)
        text = "";
    bool stands = (uintptr_t)text >= (uintptr_t)begin &&
                  (uintptr_t)text + len <= (uintptr_t)begin + content->len;
    node->text = stands ? text : conf_pool_strndup(builder->nodes, text, len);
    node->len = (uint32_t)len;
    node->weight += (uint32_t)(len / 16);
}

static struct conf_yaml *conf_yaml_scalar(struct conf_yaml_builder *builder, struct fy_event *event)
{
    struct conf_yaml *node = conf_yaml_node(builder, event, CONF_YAML_SCALAR);
    struct fy_token *token = event->scalar.value;
    enum fy_scalar_style style = token ? fy_token_scalar_style(token) : FYSS_PLAIN;
    conf_yaml_set_text(builder, node, token);
    node->plain = style == FYSS_PLAIN;
    const struct conf_yaml_frame *top = conf_yaml_top(builder);
    if (style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED) {
        node->column -= node->column > 1; /* libfyaml points behind the opening quote */
    } else if ((style == FYSS_LITERAL || style == FYSS_FOLDED) && top) {
        /* and at the first line of a block, which has no column. */
        const struct conf_yaml *parent = top->key ? top->key : top->node;
        node->line = parent->line;
        node->column = parent->column;
    }
    return node;
}

/* Only YAML's own tags (`!!str`) leave a value what it is; `!vault` and the like do not. */
static int conf_yaml_check_tag(struct conf_yaml_builder *builder, struct fy_token *tag,
                               const struct conf_yaml *node)
{
    static const char known[] = "tag:yaml.org,2002:";
    size_t len = 0;
    const char *text = tag ? fy_token_get_text(tag, &len) : NULL;
    if (!text || conf_yaml_text_is(text, len, "!"))
        return 0;
    if (len >= sizeof known - 1 && !memcmp(text, known, sizeof known - 1))
        return 0;
    conf_file_error(builder->file, node,
                    "a tag that is not known here: text that begins with \"!\" needs quotes");
    return -1;
}

static void conf_yaml_anchor(struct conf_yaml_builder *builder, struct fy_token *anchor,
                             struct conf_yaml *node)
{
    size_t len = 0;
    const char *text = anchor ? fy_token_get_text(anchor, &len) : NULL;
    if (text)
        conf_table_put(&builder->anchors, conf_pool_strndup(builder->nodes, text, len), len, node);
}

/* Adds what hangs on `child`; the limit makes alias bombs and endless nesting harmless. */
static int conf_yaml_weigh(struct conf_yaml_builder *builder, struct conf_yaml *parent,
                           const struct conf_yaml *child)
{
    parent->weight += child->weight;
    if (child->depth >= parent->depth)
        parent->depth = (uint8_t)(child->depth + 1);
    if (parent->weight <= YAML_WEIGHT_MOST && parent->depth <= YAML_DEPTH_MOST)
        return 0;
    const char *what = parent->depth > YAML_DEPTH_MOST ? "nested too deeply"
                                                       : "too much, once all aliases are followed";
    conf_file_error(builder->file, parent, "%s", what);
    return -1;
}

/* Puts a finished or just opened node where it belongs. */
static void conf_yaml_attach(struct conf_yaml_builder *builder, struct conf_yaml *node)
{
    if (!builder->depth) {
        builder->root = node;
        return;
    }
    struct conf_yaml_frame *top = &builder->frames[builder->depth - 1];
    if (top->node->kind == CONF_YAML_MAP && !top->key) {
        top->key = node;
        return;
    }
    struct conf_yaml_item *item = conf_pool_alloc(builder->nodes, sizeof *item);
    *item = (struct conf_yaml_item){.key = top->key, .value = node};
    *(top->last ? &top->last->next : &top->node->items) = item;
    top->last = item;
    top->key = NULL;
    top->node->len++;
}

static int conf_yaml_add(struct conf_yaml_builder *builder, struct conf_yaml *node)
{
    const struct conf_yaml_frame *top = conf_yaml_top(builder);
    conf_yaml_attach(builder, node);
    return top ? conf_yaml_weigh(builder, top->node, node) : 0;
}

static int conf_yaml_begin(struct conf_yaml_builder *builder, struct fy_event *event)
{
    bool list = event->type == FYET_SEQUENCE_START;
    struct conf_yaml *node = conf_yaml_node(builder, event, list ? CONF_YAML_LIST : CONF_YAML_MAP);
    struct fy_token *tag = list ? event->sequence_start.tag : event->mapping_start.tag;
    if (conf_yaml_check_tag(builder, tag, node) < 0)
        return -1;
    if (builder->depth == YAML_DEPTH_MOST) {
        conf_file_error(builder->file, node, "nested too deeply");
        return -1;
    }
    conf_yaml_anchor(builder, list ? event->sequence_start.anchor : event->mapping_start.anchor,
                     node);
    conf_yaml_attach(builder, node);
    node->open = true;
    builder->frames[builder->depth++] = (struct conf_yaml_frame){.node = node};
    return 0;
}

static int conf_yaml_end(struct conf_yaml_builder *builder)
{
    struct conf_yaml *node = builder->frames[--builder->depth].node;
    node->open = false;
    const struct conf_yaml_frame *top = conf_yaml_top(builder);
    return top ? conf_yaml_weigh(builder, top->node, node) : 0;
}

static int conf_yaml_alias(struct conf_yaml_builder *builder, struct fy_event *event)
{
    size_t len = 0;
    const char *name = fy_token_get_text(event->alias.anchor, &len);
    struct conf_yaml *node = name ? conf_table_get(&builder->anchors, name, len) : NULL;
    if (node && !node->open)
        return conf_yaml_add(builder, node);
    const struct conf_yaml *here = conf_yaml_node(builder, event, CONF_YAML_SCALAR);
    conf_file_error(builder->file, here, "%s",
                    node ? "an alias to what it stands in itself"
                         : "an alias to nothing: text that begins with \"*\" needs quotes");
    return -1;
}

static int conf_yaml_take_scalar(struct conf_yaml_builder *builder, struct fy_event *event)
{
    struct conf_yaml *node = conf_yaml_scalar(builder, event);
    if (conf_yaml_check_tag(builder, event->scalar.tag, node) < 0)
        return -1;
    conf_yaml_anchor(builder, event->scalar.anchor, node);
    return conf_yaml_add(builder, node);
}

static int conf_yaml_begin_document(struct conf_yaml_builder *builder, struct fy_event *event)
{
    if (!builder->documents++)
        return 0;
    const struct conf_yaml *here = conf_yaml_node(builder, event, CONF_YAML_SCALAR);
    conf_file_error(builder->file, here, "a second document (\"---\"), expected one in the file");
    return -1;
}

static int conf_yaml_take(struct conf_yaml_builder *builder, struct fy_event *event)
{
    switch (event->type) {
    case FYET_DOCUMENT_START:
        return conf_yaml_begin_document(builder, event);
    case FYET_SCALAR:
        return conf_yaml_take_scalar(builder, event);
    case FYET_ALIAS:
        return conf_yaml_alias(builder, event);
    case FYET_SEQUENCE_START:
    case FYET_MAPPING_START:
        return conf_yaml_begin(builder, event);
    case FYET_SEQUENCE_END:
    case FYET_MAPPING_END:
        return conf_yaml_end(builder);
    default:
        return 0;
    }
}

/* The first thing libfyaml complained about. */
static void conf_yaml_report(struct conf_yaml_builder *builder, struct fy_diag *diag)
{
    void *cursor = NULL;
    const struct fy_diag_error *error = fy_diag_errors_iterate(diag, &cursor);
    const struct conf_yaml_frame *top = conf_yaml_top(builder);
    struct conf_syntax_open open = {0};
    if (top)
        open = (struct conf_syntax_open){.line = top->node->line, .column = top->node->column};
    if (!error || error->line < 1 || error->column < 1)
        conf_syntax_report(builder->file, 1, 1, error ? error->msg : "unknown trouble", open);
    else
        conf_syntax_report(builder->file, (unsigned)error->line, (unsigned)error->column,
                           error->msg, open);
}

static int conf_yaml_parse(struct conf_yaml_builder *builder, struct fy_parser *parser,
                           struct fy_diag *diag)
{
    struct fy_event *event;
    while ((event = fy_parser_parse(parser))) {
        int taken = conf_yaml_take(builder, event);
        conf_yaml_advance(builder, event);
        fy_parser_event_free(parser, event);
        if (taken < 0)
            return -1;
    }
    if (!fy_parser_get_stream_error(parser))
        return 0;
    conf_yaml_report(builder, diag);
    return -1;
}

/* Errors are collected instead; without this libfyaml writes to standard error. */
static void conf_yaml_silent(struct fy_diag *diag, void *user, const char *text, size_t len)
{
    (void)diag;
    (void)user;
    (void)text;
    (void)len;
}

static struct fy_diag *conf_yaml_diag(void)
{
    struct fy_diag_cfg config;
    fy_diag_cfg_default(&config);
    config.fp = NULL;
    config.output_fn = conf_yaml_silent;
    config.colorize = false;
    struct fy_diag *diag = fy_diag_create(&config);
    if (diag)
        fy_diag_set_collect_errors(diag, true);
    return diag;
}

static struct fy_parser *conf_yaml_parser(struct conf_file *file, struct fy_diag *diag)
{
    /* The depth is limited here, and flow collections may close at the margin as elsewhere. */
    struct fy_parse_cfg config = {
        .flags =
            FYPCF_DEFAULT_VERSION_1_1 | FYPCF_DISABLE_DEPTH_LIMIT | FYPCF_SLOPPY_FLOW_INDENTATION,
        .diag = diag,
    };
    struct fy_parser *parser = fy_parser_create(&config);
    if (parser &&
        fy_parser_set_string(parser, (const char *)file->content.data, file->content.len) < 0) {
        fy_parser_destroy(parser);
        return NULL;
    }
    return parser;
}

int conf_yaml_load(struct conf_file *file, struct conf_pool *nodes,
                   const struct conf_yaml **ret_root)
{
    struct conf_yaml_builder builder = {.file = file, .nodes = nodes};
    int result = 0;
    if (file->content.len) {
        struct fy_diag *diag = conf_yaml_diag();
        struct fy_parser *parser = diag ? conf_yaml_parser(file, diag) : NULL;
        result = -1;
        if (parser)
            result = conf_yaml_parse(&builder, parser, diag);
        else
            conf_file_error(file, NULL, "the YAML parser cannot be set up");
        fy_parser_destroy(parser);
        fy_diag_destroy(diag);
    }
    conf_table_release(&builder.anchors);
    if (result == 0)
        *ret_root = builder.root && conf_yaml_is_null(builder.root) ? NULL : builder.root;
    return result;
}
