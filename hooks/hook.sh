#!/bin/sh
# wsidx-hook v1: written by `wsidx hook install`, taken away by `wsidx hook uninstall`.
wsidx=@PROGRAM@
test -x "$wsidx" || wsidx=$(command -v wsidx) || {
	echo "wsidx: the program was moved and is not in PATH, so nothing can be checked; install it, or remove $0" >&2
	exit 1
}
previous=$(dirname -- "$0")/@EVENT@.wsidx-prev

case @EVENT@ in
pre-push | pre-receive)
	# These get lines on standard input, and so does the hook that was here before.
	lines=$(cat && echo .)
	printf %s "${lines%.}" | "$wsidx" hook run @EVENT@ "$@" || exit
	test -x "$previous" || exit 0
	printf %s "${lines%.}" | "$previous" "$@"
	;;
*)
	"$wsidx" hook run @EVENT@ "$@" || exit
	test -x "$previous" || exit 0
	exec "$previous" "$@"
	;;
esac
