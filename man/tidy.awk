#!/usr/bin/awk -f
# SPDX-License-Identifier: BSD-2-Clause
#
# tidy.awk - paragraph macros where they mean something
#
# scdoc puts .P after each heading, before each heading and before .RE, where it is void and
# mandoc -T lint complains. Here a paragraph that ends a block begins behind it, and one next to a
# heading goes.

function heading(line)
{
	return line ~ /^\.(TH|SH|SS)( |$)/
}

$0 == ".P" {
	wanted = 1
	next
}

/^\.RE$/ {
	print
	next
}

{
	if (wanted && !heading($0) && !heading(last))
		print ".P"
	wanted = 0
	print
	last = $0
}
