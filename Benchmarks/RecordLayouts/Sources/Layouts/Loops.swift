// SPDX-License-Identifier: Apache-2.0

// One function for each layout and work, so that a profile tells them apart by name.

@inline(never)
func loop_A_recycle(_ rig: Rig<Tagged>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.recycle(order, count)
}

@inline(never)
func loop_A_look(_ rig: Rig<Tagged>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.look(order, count)
}

@inline(never)
func loop_A_share(_ rig: Rig<Tagged>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.share(order, count)
}

@inline(never)
func loop_A_provider(_ rig: Rig<Tagged>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.provider(order, count)
}

@inline(never)
func loop_B_recycle(_ rig: Rig<Common>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.recycle(order, count)
}

@inline(never)
func loop_B_look(_ rig: Rig<Common>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.look(order, count)
}

@inline(never)
func loop_B_share(_ rig: Rig<Common>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.share(order, count)
}

@inline(never)
func loop_B_provider(_ rig: Rig<Common>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.provider(order, count)
}

@inline(never)
func loop_C_recycle(_ rig: Rig<Mirrored>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.recycle(order, count)
}

@inline(never)
func loop_C_look(_ rig: Rig<Mirrored>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.look(order, count)
}

@inline(never)
func loop_C_share(_ rig: Rig<Mirrored>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.share(order, count)
}

@inline(never)
func loop_C_provider(_ rig: Rig<Mirrored>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.provider(order, count)
}

@inline(never)
func loop_D_recycle(_ rig: Rig<Hybrid>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.recycle(order, count)
}

@inline(never)
func loop_D_look(_ rig: Rig<Hybrid>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.look(order, count)
}

@inline(never)
func loop_D_share(_ rig: Rig<Hybrid>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.share(order, count)
}

@inline(never)
func loop_D_provider(_ rig: Rig<Hybrid>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.provider(order, count)
}

@inline(never)
func loop_E_recycle(_ rig: Rig<Area>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.recycle(order, count)
}

@inline(never)
func loop_E_look(_ rig: Rig<Area>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.look(order, count)
}

@inline(never)
func loop_E_share(_ rig: Rig<Area>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.share(order, count)
}

@inline(never)
func loop_E_provider(_ rig: Rig<Area>, _ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
  unsafe rig.provider(order, count)
}
