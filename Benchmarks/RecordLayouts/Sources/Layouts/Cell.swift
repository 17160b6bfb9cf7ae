// SPDX-License-Identifier: Apache-2.0

/// One layout under one work.
@unsafe
struct Cell {
  let layout: String
  let work: Work
  /// Does the work `count` times and returns the sum of what was read.
  let run: (_ order: UnsafePointer<UInt8>, _ count: Int) -> UInt64

  /// Every cell, over pools of its own.
  static func all() throws -> [Cell] {
    let tagged = (unsafe Rig<Tagged>(hasCache: true), unsafe Rig<Tagged>(hasCache: false))
    let common = (unsafe Rig<Common>(hasCache: true), unsafe Rig<Common>(hasCache: false))
    let mirrored = (unsafe Rig<Mirrored>(hasCache: true), unsafe Rig<Mirrored>(hasCache: false))
    let hybrid = (unsafe Rig<Hybrid>(hasCache: true), unsafe Rig<Hybrid>(hasCache: false))
    let area = (unsafe Rig<Area>(hasCache: true), unsafe Rig<Area>(hasCache: false))
    let real = unsafe try RealRig()
    return unsafe [
      Cell(layout: "A", work: .recycle) { unsafe loop_A_recycle(tagged.0, $0, $1) },
      Cell(layout: "B", work: .recycle) { unsafe loop_B_recycle(common.0, $0, $1) },
      Cell(layout: "C", work: .recycle) { unsafe loop_C_recycle(mirrored.0, $0, $1) },
      Cell(layout: "D", work: .recycle) { unsafe loop_D_recycle(hybrid.0, $0, $1) },
      Cell(layout: "E", work: .recycle) { unsafe loop_E_recycle(area.0, $0, $1) },
      Cell(layout: "P", work: .recycle) { unsafe loop_P_recycle(real, $0, $1) },

      Cell(layout: "A", work: .look) { unsafe loop_A_look(tagged.0, $0, $1) },
      Cell(layout: "B", work: .look) { unsafe loop_B_look(common.0, $0, $1) },
      Cell(layout: "C", work: .look) { unsafe loop_C_look(mirrored.0, $0, $1) },
      Cell(layout: "D", work: .look) { unsafe loop_D_look(hybrid.0, $0, $1) },
      Cell(layout: "E", work: .look) { unsafe loop_E_look(area.0, $0, $1) },
      Cell(layout: "P", work: .look) { unsafe loop_P_look(real, $0, $1) },

      Cell(layout: "A", work: .share) { unsafe loop_A_share(tagged.0, $0, $1) },
      Cell(layout: "B", work: .share) { unsafe loop_B_share(common.0, $0, $1) },
      Cell(layout: "C", work: .share) { unsafe loop_C_share(mirrored.0, $0, $1) },
      Cell(layout: "D", work: .share) { unsafe loop_D_share(hybrid.0, $0, $1) },
      Cell(layout: "E", work: .share) { unsafe loop_E_share(area.0, $0, $1) },
      Cell(layout: "P", work: .share) { unsafe loop_P_share(real, $0, $1) },

      Cell(layout: "A", work: .provider) { unsafe loop_A_provider(tagged.1, $0, $1) },
      Cell(layout: "B", work: .provider) { unsafe loop_B_provider(common.1, $0, $1) },
      Cell(layout: "C", work: .provider) { unsafe loop_C_provider(mirrored.1, $0, $1) },
      Cell(layout: "D", work: .provider) { unsafe loop_D_provider(hybrid.1, $0, $1) },
      Cell(layout: "E", work: .provider) { unsafe loop_E_provider(area.1, $0, $1) },
    ]
  }
}
