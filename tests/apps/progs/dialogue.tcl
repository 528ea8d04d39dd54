# Many lines to an echo server and back, by events: dialogue.tcl PORT
set s [socket 127.0.0.1 [lindex $argv 0]]
fconfigure $s -blocking 0 -buffering none -translation binary
for {set i 0} {$i < 20000} {incr i} {
	append all "line $i [string repeat z [expr {$i % 90}]]\n"
}
set got ""
set sent 0

proc readable {s} {
	append ::got [read $s]
	if {[eof $s] || [string length $::got] >= [string length $::all]} {
		set ::done 1
	}
}

proc writable {s} {
	puts -nonewline $s [string range $::all $::sent [incr ::sent 7000]-1]
	if {$::sent >= [string length $::all]} {
		fileevent $s writable {}
	}
}

fileevent $s readable [list readable $s]
fileevent $s writable [list writable $s]
vwait done
puts [expr {$got eq $all ? "good" : "[string length $got] bytes, or others"}]
