// SPDX-License-Identifier: Apache-2.0
// Two receivers on one socket would tear its packets.
import Devmem
import DevmemNet

// expected-error: 'receiver' consumed more than once
func misuse(_ receiver: consuming HeaderSplitReceiver) {
  let first = receiver
  let second = receiver
  _ = (first.descriptorNumber, second.descriptorNumber)
}
