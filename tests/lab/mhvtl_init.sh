#!/bin/sh
# PID 1 of the lab's second machine (tests/lab/mhvtl_guest.py): loads the module of the shared tree, starts the drive and its
# library, exports the drive by iSCSI, then obeys lines on the second serial port: "eject", "insert NAME on|off" (protection).
# The kernel makes `cartridge` on its command line a variable of this environment.

export PATH=/bin LD_LIBRARY_PATH=/lib64:/tree/usr
/bin/busybox --install -s /bin
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mkdir /dev/shm
mount -t tmpfs none /dev/shm

fail() {
    echo "FAILED: $*"
    poweroff -f
}

while read -r module; do
    insmod "/modules/$module" || fail "kernel module $module"
done < /modules/order
shared="trans=virtio,version=9p2000.L,msize=262144,cache=none"
mount -t 9p -o "$shared,ro" tree /tree || fail "the tree is not shared"
mount -t 9p -o "$shared" cartridges /cartridges || fail "the cartridges are not shared"
insmod /tree/kernel/mhvtl.ko || fail "mhvtl.ko"
mount -t configfs none /sys/kernel/config
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0

# Each waits until it is there: under an emulated processor that takes its time.
until_there() {
    for _ in $(seq 200); do
        ls $1 >/dev/null 2>&1 && return
        usleep 100000
    done
    fail "$1 does not appear"
}

syslogd -n -O /dev/console &
ln -s "/cartridges/$cartridge.tape" /opt/mhvtl/BOBBINL6
/tree/usr/bin/vtllibrary -F -q10 &
until_there '/sys/bus/scsi/devices/*:0:0:0'
/tree/usr/bin/vtltape -F -q11 &
until_there '/sys/bus/scsi/devices/*:0:1:0'

for each in /sys/class/scsi_generic/*; do
    case $(readlink -f "$each/device") in
        *:0:0:0) changer=/dev/${each##*/} ;;
    esac
done
host=$(basename "$(readlink -f /sys/bus/scsi/devices/*:0:1:0)")
core=/sys/kernel/config/target/core/pscsi_0/tape
group=/sys/kernel/config/target/iscsi/iqn.2024-01.net.bobbin.lab:lto/tpgt_1
mkdir -p $core
echo "scsi_host_id=${host%%:*},scsi_channel_id=0,scsi_target_id=1,scsi_lun_id=0" > $core/control
echo /dev/none > $core/udev_path
echo 1 > $core/enable || fail "pscsi"
mkdir -p $group/np/0.0.0.0:3260 $group/lun/lun_0
ln -s $core $group/lun/lun_0/drive
for pair in authentication=0 generate_node_acls=1 cache_dynamic_acls=1 demo_mode_write_protect=0; do
    echo ${pair#*=} > $group/attrib/${pair%=*}
done
for pair in MaxRecvDataSegmentLength=262144 MaxXmitDataSegmentLength=262144 FirstBurstLength=262144 MaxBurstLength=1048576; do
    echo ${pair#*=} > $group/param/${pair%=*}
done
echo 1 > $group/enable || fail "iscsi"

in_drive=
eject() {
    [ -z "$in_drive" ] || mtx -f "$changer" unload 1 0 || return 1
    in_drive=
}
insert() {
    eject || return 1
    ln -sfn "/cartridges/$1.tape" /opt/mhvtl/BOBBINL6
    /tree/usr/bin/edit_tape -l 10 -m BOBBINL6 -w "$2" >/dev/null || return 1
    mtx -f "$changer" load 1 0 || return 1
    in_drive=$1
}

stty -F /dev/ttyS1 raw -echo
exec 3<>/dev/ttyS1
echo READY
while read -r verb first second <&3; do
    case $verb in
        eject) eject ;;
        insert) insert "$first" "$second" ;;
        *) false ;;
    esac >/tmp/said 2>&1 && echo done >&3 || echo "failed: $(tr '\n' ' ' </tmp/said)" >&3
done
fail "the control line is closed"
