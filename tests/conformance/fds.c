/* SPDX-License-Identifier: BSD-2-Clause */
#include "conform.h"
const struct conform_case fd_cases[] = {{0}};
