/*
 * close.pml - a bell must not meet a closed socket (L6 of src/lane/link.h)
 *
 * The closing end has left the memory lane with its sending direction, and its kernel still has bytes to send. The other
 * end's direction is on the memory lane, so it may ring: for room that was asked for before, say. A bell that meets the
 * closed socket is answered by RST, and the bytes are lost.
 *
 *      closing end                          ringing end
 *      deaf = 1             (a)             rung = sent + 1       (c)
 *      drain; rung > taken?                 deaf: rung = sent     (d)
 *        wait, drain again  (b)             no: send the bell
 *      close
 *
 * a before b, c before d, in one order that all agree on: who comes second sees the other.
 *
 * Abstracted: the wait has no end (in the code 100 ms: the ringing end may have been killed between c and its send, and has
 * sent none then); bells that the kernel refuses are taken back, as for a deaf end.
 *
 * Bugs, each must fail:
 *   BUG_NO_WAIT     the closing end drains what is there, and does not look at rung afterwards
 *   BUG_NOT_DEAF    the closing end looks at rung, and does not say that it is deaf
 *   BUG_LOOK_FIRST  the ringing end looks at deaf before it stores rung
 *   BUG_KEEP_RUNG   a bell that was not sent is not taken back
 */

#define BELLS	3

bool deaf, closed;
byte rung, queued;

#define DRAIN	atomic { taken = taken + queued; queued = 0 }

active proctype closing()
{
	byte taken = 0;

#ifndef BUG_NOT_DEAF
	deaf = true;
#endif
	DRAIN;
#ifndef BUG_NO_WAIT
	do
	:: rung <= taken -> break
	:: atomic { else -> queued > 0 || rung <= taken };
		DRAIN
	od;
#endif
	closed = true
}

active proctype ringing()
{
	byte sent = 0, n = 0;
	bool d = false;

	do
	:: n == BELLS -> break
	:: n < BELLS ->
		n++;
#ifdef BUG_LOOK_FIRST
		d = deaf;
		rung = sent + 1;
#else
		rung = sent + 1;
		d = deaf;
#endif
		if
		:: d ->
#ifndef BUG_KEEP_RUNG
			rung = sent
#else
			skip
#endif
		:: else ->
			atomic { assert(!closed); queued++; sent++ }
		fi
	od
}
