/* SPDX-License-Identifier: BSD-2-Clause */
#include "conform.h"
const struct conform_case name_cases[] = {{0}};
