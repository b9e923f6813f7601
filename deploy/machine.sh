#!/usr/bin/env bash
# SPDX-License-Identifier: AGPL-3.0-or-later
#
# machine.sh PACKAGES boots a copy of this computer's system that is thrown away:
# the same files under a layer in memory, with processes, network, host name
# and control groups of its own, and systemd as its first process. The folder
# PACKAGES is /packages in it. Run it as root, in a cgroup that nobody else uses:
#
#   unshare --mount --pid --fork --kill-child --net --cgroup --ipc --uts deploy/machine.sh dist
#
# The kernel is the real one, so /sys and the kernel's settings are read-only,
# /dev holds what a container has, and units that would touch either are hidden.
set -euo pipefail
shopt -s nullglob
packages=$(realpath "$1")

mount --make-rprivate /
mount -t tmpfs -o mode=0700 machine /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root

mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755 run run
mkdir -p packages
mount --bind "$packages" packages
mount -o remount,ro,bind packages

mount -t tmpfs -o mode=0755 dev dev
mkdir dev/pts dev/shm
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
while read -r name major minor mode group; do
	mknod -m "$mode" "dev/$name" c "$major" "$minor"
	chgrp "$group" "dev/$name"
done <<-NODES
	null 1 3 666 root
	zero 1 5 666 root
	full 1 7 666 root
	random 1 8 666 root
	urandom 1 9 666 root
	tty 5 0 666 root
	kmsg 1 11 600 root
	mem 1 1 666 root
	ttyS0 4 64 660 dialout
	ttyUSB0 188 0 660 dialout
NODES

# Nothing starts but what the test names: no unit of this computer's services.
rm -rf etc/systemd/system
mkdir -p etc/systemd/system/machine.target.wants
for wants in usr/lib/systemd/system/*.wants usr/lib/systemd/system/*.requires; do
	mount -t tmpfs -o ro hidden "$wants"
done
for unit in modprobe@.service systemd-udevd.service systemd-networkd.service systemd-timesyncd.service; do
	ln -s /dev/null "etc/systemd/system/$unit"
done
cat >etc/systemd/system/machine.target <<-UNIT
	[Unit]
	Description=A machine to throw away
	Requires=basic.target systemd-journald.service
	After=basic.target systemd-journald.service
UNIT
# An image for containers may forbid packages to start services.
rm -rf var/log/journal usr/sbin/policy-rc.d
echo machine >etc/hostname
# An id of its own; without one systemd would enable what it finds.
echo 0123456789abcdef0123456789abcdef >etc/machine-id

ip link set lo up
mkdir -p /mnt/root/oldroot
pivot_root . oldroot
umount -l /oldroot
mount -t tmpfs -o mode=1777 tmp /tmp
# systemd hands secrets to services through mounts that others see appear.
mount --make-rshared /
exec env -i container=allmende-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	/usr/lib/systemd/systemd --unit=machine.target --log-target=journal --show-status=0
