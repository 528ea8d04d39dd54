/* SPDX-License-Identifier: BSD-2-Clause */
#include "conform.h"
const struct conform_case proc_cases[] = {{0}};
int child_main(char **argv)
{
	(void)argv;
	return 2;
}
