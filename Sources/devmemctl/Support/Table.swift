// SPDX-License-Identifier: Apache-2.0

/// Aligned columns under a line of titles.
struct Table {
  let titles: [String]
  var rows: [[String]] = []
  /// Columns of numbers, which are aligned to the right.
  var numeric: Set<Int> = []

  /// The lines, each with a newline; titles dimmed where a person is watching.
  func text(for terminal: Terminal) -> String {
    let widths = titles.indices.map { column in
      ([titles] + rows).map { $0[column].count }.max() ?? 0
    }
    func line(_ cells: [String]) -> String {
      var text = ""
      for (column, cell) in cells.enumerated() {
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        if column > 0 { text += "  " }
        text += numeric.contains(column) ? padding + cell : cell + padding
      }
      while text.last == " " { text.removeLast() }
      return text
    }
    return ([terminal.styled(line(titles), .dim)] + rows.map(line)).joined(separator: "\n") + "\n"
  }
}
