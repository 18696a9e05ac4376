# Executes a program on a host of the cluster: sh host.sh NAME HOSTS_FILE ENVIRONMENT HIDDEN... -- PROGRAM...
# Must run in its own network, mount and UTS (host name) namespaces.
set -eu
name=$1 hosts=$2 environment=$3
shift 3
mount --make-rprivate /
hostname "$name"
mount --bind "$hosts" /etc/hosts
# Hide this machine's Python from the host.
while [ "$1" != -- ]; do
    mount -t tmpfs -o ro,size=4k tmpfs "$1"
    shift
done
shift
mount -t tmpfs -o size=4k,mode=755 tmpfs /opt
mkdir /opt/sparkdl
mount --bind "$environment" /opt/sparkdl
mount -o remount,bind,ro /opt/sparkdl
exec "$@"
