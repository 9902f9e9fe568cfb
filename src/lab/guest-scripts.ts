/**
 * The guest's side of the lab, as scripts for busybox.
 *
 * Serial ports (arch.ts): one is the kernel's console, $control carries the control lines of guest.ts, $terminal_port is the
 * terminal of an interactive session. Data goes through files of the share (9p mount tag `lab`): a serial port of QEMU
 * loses what comes while the guest is busy, and costs the guest an exit for each byte that it sends.
 */

/** Where the lab keeps its own things in the guest. */
export const GUEST_FOLDER = '/run/kvfio-lab';

/** Where the guest sees the host's folder of `--out`. */
export const GUEST_OUT = `${GUEST_FOLDER}/out`;

/** `/init` of the initramfs: mounts the host's file tree and makes it the root. */
export const FIRST_STAGE = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
. /lab/settings
stty -F "/dev/$control" 115200 raw -echo
fail() { echo "fail $*" > "/dev/$control"; sleep 5; poweroff -f; }

while read -r module; do
  insmod "/modules/$module" || fail "the kernel refused the module $module"
done < /modules/order

options=trans=virtio,version=9p2000.L,msize=512000
under=/host
[ -z "$layer" ] || under=/under
mount -t 9p -o "$options,cache=loose,ro" host $under || fail "the kernel cannot mount a file tree over 9p and virtio, $without_9p"
# programs of the guest's architecture in place of the host's
if [ -n "$layer" ]; then
  mount -t 9p -o "$options,cache=loose,ro" layer /layer && mount -t overlay -o lowerdir=/layer:/under overlay /host || fail "the programs of this architecture cannot be laid over the host's"
  [ -e /host/lib/ld-linux-aarch64.so.1 ] || fail "/lib of the host is no link to /usr/lib"
fi
for folder in proc sys dev; do mount --move "/$folder" "/host/$folder"; done
mount -t tmpfs -o mode=755 tmpfs /host/run || fail "the host has no folder /run"
mkdir -p /host${GUEST_FOLDER}/host /host${GUEST_FOLDER}/share
mount --bind /host /host${GUEST_FOLDER}/host
mount -t 9p -o "$options,cache=none" lab /host${GUEST_FOLDER}/share
cp -r /bin/busybox /lab/* /host${GUEST_FOLDER}
exec switch_root /host ${GUEST_FOLDER}/busybox sh ${GUEST_FOLDER}/second-stage
`;

/**
 * Process 1 once the host's tree is the root: makes it look like a machine, runs the command and says how it
 * ended. It must never return, or the kernel panics.
 */
export const SECOND_STAGE = `
lab=${GUEST_FOLDER}
. $lab/settings
mkdir -p $lab/applets $lab/home $lab/out
$lab/busybox --install -s $lab/applets
export PATH=$lab/applets HOME=$lab/home
exec 3<>"/dev/$control"
[ -z "$layer" ] || mount --bind "$foreign_node" "$node"
fail() { echo "fail $*" >&3; sleep 5; poweroff -f; }

# The guest's own /tmp, in which the host's entries are links to where they can be read
mount -t tmpfs -o mode=1777 tmpfs /tmp
find $lab/host/tmp -mindepth 1 -maxdepth 1 -exec sh -c 'ln -s "$@" /tmp/' sh {} + 2>/dev/null

mkdir -p /dev/pts /dev/shm
mount -t devpts -o mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
ln -sf /proc/self/fd /dev/fd
for number in 0 1 2; do
  set -- stdin stdout stderr; shift $number; ln -sf /proc/self/fd/$number "/dev/$1"
done
{
  mount -t debugfs debugfs /sys/kernel/debug
  mount -t tracefs tracefs /sys/kernel/tracing
  mount -t configfs configfs /sys/kernel/config
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
} 2>/dev/null
hostname kvfio-lab
ip link set lo up 2>/dev/null

# A host that never booted a kernel of its own, such as a container, has no /lib/modules to mount over
if [ -z "$modules" ] || [ "$modules" = "/lib/modules/$release" ]; then :
elif [ -d "/lib/modules/$release" ]; then
  mount --bind "$lab/host$modules" "/lib/modules/$release"
else
  mkdir -p "$lab/lib/modules/$release"
  mount --bind "$lab/host$modules" "$lab/lib/modules/$release"
  if [ ! -d /lib/modules ]; then
    mkdir -p $lab/layer/modules
    "$modprobe" -d $lab -C /dev/null overlay
    mount -t overlay -o "lowerdir=$lab/layer:$(realpath /lib)" overlay "$(realpath /lib)"
  fi
  mount --rbind $lab/lib/modules /lib/modules || fail "the kernel's modules cannot be shown under /lib/modules"
fi

if [ -n "$out" ]; then
  mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=none out $lab/out || fail "the folder of --out cannot be mounted"
  [ -d "$out" ] && mount --bind $lab/out "$out"
fi

# Give each device the driver that it has on a real machine
load() { [ -z "$modules" ] || "$modprobe" -C /dev/null "$@" 2>/dev/null; }
load -a vfio-pci vfio_iommu_type1
# VFIO_SET_IOMMU answers EPERM where the kernel remaps no interrupts (vfio_iommu_type1_attach_group, 5.10 to 7.3)
if [ -n "$may_not_remap" ] && ! grep -q " IR-" /proc/interrupts; then
  for module in vfio_iommu_type1 iommufd; do
    parameter=/sys/module/$module/parameters/allow_unsafe_interrupts
    [ ! -e $parameter ] || { echo Y > $parameter; echo "unsafe $module" >&3; }
  done
fi
for port in $vfio_ports; do
  for device in "/sys/bus/pci/devices/$port"/????:??:??.?; do
    [ -e "$device" ] || continue
    [ ! -e "$device/driver" ] || echo "\${device##*/}" > "$device/driver/unbind"
    echo vfio-pci > "$device/driver_override"
    echo "\${device##*/}" > /sys/bus/pci/drivers_probe
    # vfio-pci refuses a device without a group, which then gets its native driver
    [ -e "$device/driver" ] || echo > "$device/driver_override"
  done
done
load -qab $(cat /sys/bus/pci/devices/*/modalias | sort -u)
if grep -qw svm /proc/cpuinfo; then load kvm_amd; elif grep -qw vmx /proc/cpuinfo; then load kvm_intel; fi

# Drivers of NVMe controllers bind in the background
for device in /sys/bus/pci/devices/*; do
  read -r class < "$device/class"
  [ "$class" = 0x010802 ] || continue
  for attempt in 1 2 3 4 5 6 7 8 9 10; do [ -e "$device/driver" ] && break; sleep 0.05; done
done

# Output goes into numbered files of a few MiB. The next one is begun when the one before is complete, and the
# host removes what it has passed on, so at most three wait.
pump() {
  number=0
  while dd bs=64k count=64 of="$lab/share/$1.$number" 2>/dev/null || fail "the host has no room for output"; do
    [ -s "$lab/share/$1.$number" ] || break
    number=$((number + 1))
    while [ -e "$lab/share/$1.$((number - 2))" ]; do sleep 0.02; done
  done
}
control() {
  while read -r verb first second <&3; do
    case $verb in
      in) cat "$lab/share/in.$first" 2>/dev/null; rm -f "$lab/share/in.$first" ;;
      eof) break ;;
      size) stty -F "/dev/$terminal_port" rows "$first" cols "$second" ;;
    esac
  done
}
pumps=
collect() {
  mkfifo "$lab/$1"
  pump "$1" < "$lab/$1" &
  pumps="$pumps $!"
}
# As when a machine goes down, whatever the command left running ends with it
end_others() {
  for process in /proc/[0-9]*; do
    case $(readlink "$process/exe") in
      "" | $lab/busybox) ;;
      *) kill -KILL "\${process##*/}" ;;
    esac
  done
}

[ -n "$terminal_stderr" ] || collect stderr
echo begin >&3
if [ -n "$terminal" ]; then
  stty -F "/dev/$terminal_port" sane 115200
  control &
  # A terminal whose session ends drops what it has not sent yet, so the session's leader waits until it has
  setsid -c sh -c '
    trap : INT QUIT
    if [ -n "$1" ]; then env -i /bin/sh "$0/command" 2>&0; else env -i /bin/sh "$0/command" 2> "$0/stderr"; fi
    code=$?
    stty sane
    exit $code
  ' $lab "$terminal_stderr" <> "/dev/$terminal_port" >&0 3>&-
else
  collect stdout
  input=/dev/null
  if [ -n "$stdin" ]; then
    input=$lab/stdin
    mkfifo $input
    control > $input &
  fi
  # in a subshell, so that this one has no say on the command's errors
  (exec setsid env -i /bin/sh $lab/command < $input > $lab/stdout 2> $lab/stderr 3>&-)
fi
code=$?

{ sleep 0.3; end_others; } &
[ -z "$pumps" ] || wait $pumps
sync
echo "exit $code" >&3
while :; do sleep 60; done
`;
