# bash completion for encroot(1). Commands and options come from the program's own help, so that
# this file never lags behind it.

_encroot() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local program=${COMP_WORDS[0]} words=() commands command="" i line
    COMPREPLY=()

    # "image encrypt    what it does" → "image encrypt"
    commands=$("$program" help 2>/dev/null |
        sed -n '/^Commands:/,/^$/ s/^  \([a-z][a-z ]*[a-z]\)  .*/\1/p')
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -* ]] && break
        words+=("${COMP_WORDS[i]}")
    done
    [[ ${words[0]-} == help ]] && words=("${words[@]:1}")
    while read -r line; do
        [[ "${words[*]} " == "$line "* ]] && command=$line
    done <<<"$commands"

    if [[ -z $command ]]; then
        local prefix="${words[*]}"
        while read -r line; do
            [[ -z $prefix || "$line" == "$prefix "* ]] || continue
            line=${line#"$prefix"}
            line=${line# }
            line=${line%% *}
            [[ $line == "$current"* && " ${COMPREPLY[*]} " != *" $line "* ]] && COMPREPLY+=("$line")
        done <<<"$commands"
        return
    fi

    # Behind -- stands another program's command line.
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == -- ]] || continue
        [[ $i == $((COMP_CWORD - 1)) ]] && line=-c || line=-f
        mapfile -t COMPREPLY < <(compgen "$line" -- "$current")
        return
    done

    # shellcheck disable=SC2086
    local help
    help=$("$program" $command --help 2>/dev/null)
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W \
            "$(sed -n 's/^  \(-[A-Za-z],\|   \) \(--[a-z-]*\).*/\2/p' <<<"$help")" -- "$current")
    elif [[ $previous == -* ]] && grep -qE -e "(^|[ ,])$previous(, --[a-z-]+)? DIR\b" <<<"$help"; then
        mapfile -t COMPREPLY < <(compgen -d -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}
complete -o filenames -F _encroot encroot
