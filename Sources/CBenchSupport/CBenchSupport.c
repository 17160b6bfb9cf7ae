// SPDX-License-Identifier: Apache-2.0
//
// Header only: SwiftPM wants one file to compile.
#include "CBenchSupport.h"
