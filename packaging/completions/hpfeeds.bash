# bash completion for hpfeeds(1)
_hpfeeds() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} word action=
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $word in subscribe | publish | sendfile | bench) action=$word && break ;; esac
    done
    COMPREPLY=()
    case $previous in
    --format)
        mapfile -t COMPREPLY < <(compgen -W 'raw json mail maildir=' -- "$current")
        return
        ;;
    --tlscert | --secret-file | -o | --output)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --host)
        mapfile -t COMPREPLY < <(compgen -A hostname -- "$current")
        return
        ;;
    -i | --ident | -c | --chan | -p | --port | -s | --secret | -n | --count | --exec | --size | \
        --subscribers | --idle | --retry | --max-frame)
        return
        ;;
    esac
    local options='--host --port --ident --secret --secret-file --chan --tls --tlscert --max-frame
        --debug --help --version'
    case $action in
    subscribe) options+=' --retry --format --mail --raw --output --count --exec --confirm' ;;
    publish | sendfile) options+=' --retry --format' ;;
    bench) options+=' --count --size --subscribers --idle' ;;
    *) options+=' subscribe publish sendfile bench' ;;
    esac
    if [[ $action = sendfile && $current != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
    fi
}
complete -o filenames -F _hpfeeds hpfeeds
