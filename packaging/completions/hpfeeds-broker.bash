# bash completion for hpfeeds-broker(1)
_hpfeeds_broker() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local words=
    case $previous in
    --config | --tlscert | --tlskey | --store)
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
        return
        ;;
    --auth)
        mapfile -t COMPREPLY < <(compgen -f -W 'env sqlite sqlite: database+sqlite:///' -- "$current")
        return
        ;;
    -e | --endpoint) words='tcp:interface= tls:interface=' ;;
    --slow-subscribers) words='disconnect drop-oldest' ;;
    --store-full) words='refuse drop-oldest' ;;
    --user)
        mapfile -t COMPREPLY < <(compgen -u -- "$current")
        return
        ;;
    --log-level) words='error warning info debug' ;;
    --log-format) words='text json' ;;
    --bind | --exporter | --name | --max-* | --auth-timeout | --durable | --store-limit)
        COMPREPLY=()
        return
        ;;
    *)
        words='--config --endpoint --bind --tlscert --tlskey --exporter --name --auth --max-frame
            --max-queue --slow-subscribers --max-memory --auth-timeout --max-unauthenticated
            --max-per-address --durable --store --store-limit --store-full --no-private-channels
            --user --no-sandbox --log-level --log-format --debug --help --version'
        ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o filenames -F _hpfeeds_broker hpfeeds-broker
