#pragma once

#include <string>

#include "tools/bench/run_cell.h"
#include "tools/output/json_output.h"

namespace quern::tools {

/// The table's head, and one line for each cell.
std::string bench_table_head();
std::string bench_table_row(const CellResult& result);

/// The CSV's head, and one line for each cell that ran; no field needs quotes.
std::string bench_csv_head();
std::string bench_csv_row(const CellResult& result);

/// An element of "cells".
OrderedJson bench_cell_json(const CellResult& result);

}  // namespace quern::tools
