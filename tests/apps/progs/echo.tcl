# An echo server of events: echo.tcl PORT
proc accepted {s address port} {
	fconfigure $s -blocking 0 -buffering none -translation binary
	fileevent $s readable [list readable $s]
}

proc readable {s} {
	set data [read $s 65536]
	puts -nonewline $s $data
	if {[eof $s]} {
		close $s
	}
}

socket -server accepted -myaddr 127.0.0.1 [lindex $argv 0]
vwait forever
