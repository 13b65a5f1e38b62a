# bash completion for imap-collector(1)
_imap_collector() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local words=
    case $previous in
    -f | --feed-config | -m | --mailbox-config | -s | --state)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --user)
        mapfile -t COMPREPLY < <(compgen -u -- "$current")
        return
        ;;
    --log-level) words='error warning info debug' ;;
    --log-format) words='text json' ;;
    --authorize)
        COMPREPLY=()
        return
        ;;
    *)
        words='--feed-config --mailbox-config --fetch-all --delete --continuous-fetch --state --again
            --check --authorize --user --no-sandbox --log-level --log-format --help --version'
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o filenames -F _imap_collector imap-collector
