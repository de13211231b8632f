# Reading the kernel's command line; sourced by L1's and L2's scripts.

# True when the word $1 stands on the command line.
cmdline_has() {
    for word in $(cat /proc/cmdline); do
        [ "$word" = "$1" ] && return 0
    done
    return 1
}

# Prints the value of $1=VALUE, the last one when there are several.
cmdline_value() {
    value=
    for word in $(cat /proc/cmdline); do
        case $word in
        "$1="*) value=${word#*=} ;;
        esac
    done
    echo "$value"
}
