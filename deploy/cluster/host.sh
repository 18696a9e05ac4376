# Becomes a program on a host of the cluster: sh host.sh NAME HOSTS_FILE ENVIRONMENT HIDDEN... -- PROGRAM...
# Runs in a namespace of the network, of mounts and of the host's name.
set -eu
name=$1 hosts=$2 environment=$3
shift 3
mount --make-rprivate /
hostname "$name"
mount --bind "$hosts" /etc/hosts
# A host has nothing of this machine's Python.
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
