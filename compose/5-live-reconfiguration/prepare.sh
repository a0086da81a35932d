#!/bin/sh
# Makes the pair of keys for signed work, below DIRECTORY, once. Usage: prepare.sh DIRECTORY
set -eu

dir=$1
mkdir -p "$dir"
[ -e "$dir/signing.pub" ] || receptor cert signing-key --outkey "$dir/signing.key" --outpub "$dir/signing.pub"
