# QEMU's `virt` board as gnomon wants it: `key = value`, one a line.
#
# `virtualization=on` gives the CPUs EL2; `max` is the only emulated CPU with
# FEAT_NV2; a GICv3 is what KVM needs to run guests of a guest.

board    = virt,virtualization=on,gic-version=3
cpu      = max
cpus     = 2
memory   = 4G

# Where RAM begins; fixed by the board.
ram-base = 0x40000000
