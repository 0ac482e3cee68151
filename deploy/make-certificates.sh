#!/bin/sh
# Makes a CA and a certificate for a SuperLink, with openssl: `deploy/make-certificates.sh FOLDER [NAME ...]`.
# NAMEs are names and addresses under which the SuperLink is reached, beside localhost, 127.0.0.1 and superlink (its name in compose.yaml).
# Without a proxy, nodes are given FOLDER/ca.pem. With one, only the proxy and `flora serve` need it.
# FOLDER/ca.key signs new certificates: keep it off the server. There is no client's certificate: nodes have keys of their own.
set -eu
umask 077
folder=${1:?"which folder?"}
shift
mkdir -p "$folder"
cd "$folder"
[ ! -e ca.key ] || { echo "$folder/ca.key is there already; remove the folder to begin anew" >&2; exit 1; }

names="DNS:localhost,IP:127.0.0.1,DNS:superlink"
for name in "$@"; do
    case $name in
    *[!0-9.]*) case $name in *:*) names="$names,IP:$name" ;; *) names="$names,DNS:$name" ;; esac ;;
    *) names="$names,IP:$name" ;;
    esac
done

ec="-algorithm EC -pkeyopt ec_paramgen_curve:P-256"
# shellcheck disable=SC2086
openssl genpkey $ec -out ca.key
openssl req -x509 -new -key ca.key -sha256 -days 3650 -subj "/CN=flora SuperLink CA" \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign -out ca.pem
# shellcheck disable=SC2086
openssl genpkey $ec -out superlink.key
openssl req -new -key superlink.key -subj "/CN=superlink" -out superlink.csr
# 825 days: some clients refuse certificates of a server that live longer.
cat >superlink.ext <<EXT
basicConstraints=critical,CA:FALSE
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=$names
EXT
openssl x509 -req -in superlink.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 825 -sha256 -extfile superlink.ext -out superlink.pem 2>/dev/null
rm -f superlink.csr superlink.ext ca.srl
chmod 644 ca.pem superlink.pem
echo "$folder: ca.pem (to trust), superlink.pem and superlink.key (for the SuperLink), ca.key (to keep elsewhere)"
