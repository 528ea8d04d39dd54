/*
 * lanes.pml - one direction of a connection over two lanes, changing as often as it likes
 *
 * Covers: START, DATA and END records, the reader's CLOSED, bells as bytes on the kernel lane, a
 * receive that was blocked in the kernel when the switch came. Checked: every byte is delivered
 * exactly once and in order, no bell is ever taken for data or data for a bell, nobody sleeps for
 * ever (that is an invalid end state), whoever closed the lane in the middle of it.
 *
 * The kernel lane is a FIFO of bytes: 0 is a bell, 1..D are the stream's bytes. The reader has to
 * tell one from the other by position alone; the model looks at the value only in assertions.
 * The memory lane is one word a record, positions never wrap; room is credit.pml's business and a
 * second sleeper is word.pml's. Bells rung for the other direction's credit share the FIFO: they
 * are counted like these.
 *
 * Where do the bells end and the data begin after CLOSED?
 *
 *   The writer that meets CLOSED in mid-lane puts END(K) in place of it, and goes on over TCP.
 *   So CLOSED only asks for an END; the reader leaves the lane by consuming END, always; one check
 *   of K, no shared word more, and a later START is possible. The alternative, a word of the
 *   writer's that tells K (-DPRODUCED), is as right, costs that word, and is final.
 *
 *      writer                                reader
 *      CAS word: EMPTY|ARMED -> DATA         CAS word: EMPTY|ARMED -> CLOSED
 *        fails, CLOSED                       n = bytes waiting in the kernel
 *      word+1 = EMPTY; K = sent + 1          w = word
 *      CAS word: CLOSED -> END(K)   (L2)       CLOSED: these n are bells, drop n (L3)
 *      ring                         (L4)       END(K): drop up to K, the rest is data
 *      send the refused byte over TCP
 *
 * L1  START(k): k = all kernel bytes so far. The reader takes exactly k, then turns to the ring.
 *     Published before its bell is sent, so whoever received that bell finds START.
 * L2  END(K) is published before the bell and the first data byte behind it are sent.
 * L3  Kernel bytes mean nothing until the word was looked at AFTER they were seen: n is taken
 *     before the look, and exactly n are dropped, not all that have come by then.
 * L4  END always rings once, and K counts this bell. K has to be written before the CAS tells
 *     whether somebody was asleep. And without a bell a reader that sleeps on END's word
 *     does not hear of a START that follows at once: that word was not armed.
 * L5  A receive that consumes may hold bytes from beyond START: they are bells, and are trimmed.
 *     They must not be data from behind a later END: the writer puts no END before it has seen
 *     the reader's position beyond START (which the reader publishes at once).
 *
 * Variants, correct too:
 *   PRODUCED          a word of the writer's tells K, final
 *
 * Bugs, each must fail:
 *   BUG_NO_TRIM       the bytes of a blocked receive are delivered without another look (L5)
 *   BUG_END_EARLY     END without having seen the reader beyond START (L5)
 *   BUG_NO_KPOS       the reader turns to the ring as soon as it sees START (L1)
 *   BUG_KPOS_DATA     START counts data bytes only, not the bells of an earlier stay (L1)
 *   BUG_RING_FIRST    START's bell is sent before START is published (L1)
 *   BUG_DROP_ALL      drop all that waits, not the n seen before the look (L3)
 *   BUG_LOOK_FIRST    look at the word, then count what waits (L3)
 *   BUG_END_SILENT    END rings nobody (L4)
 *   BUG_END_UNCOUNTED END rings the sleeper only, K does not count that bell (L4)
 *   BUG_END_LATE      answer to CLOSED: data first, END(K) after it (L2)
 *   BUG_NO_ANSWER     answer to CLOSED: none, straight on over TCP
 *   BUG_CLOSED_TCP    the reader takes its own CLOSED for the end of the bells
 *   BUG_PRODUCED_LATE PRODUCED, but data first, the word after it
 */

#ifdef BUG_PRODUCED_LATE
#define PRODUCED
#endif

#ifndef D
#define D	4	/* bytes of the stream */
#endif
#define S	9	/* words */
#define M	3	/* bytes one receive can take */
#define Q	14	/* more than there can be: a bell is never refused */

#define GARBAGE	0	/* memory that nobody wrote yet: reading it is an error */
#define EMPTY	1
#define ARMED	2
#define CLOSED	3
#define START	4
#define DATA	5
#define END	6

byte word[S];			/* one writer at a time: see the word protocol */
byte arg[S];			/* payload: kernel position, or the data byte */
byte credit;			/* reader's position */
byte produced;			/* PRODUCED only: 0 = not told, else K + 1 */
chan kern = [Q] of { byte };	/* the TCP connection, this direction */

/* old = word[p]; EMPTY or ARMED -> rec */
#define PUBLISH(rec) \
	atomic { old = word[p]; if :: old == EMPTY || old == ARMED -> word[p] = rec :: else fi }

#ifdef BUG_END_EARLY
#define MAY_END	true
#else
#define MAY_END	(credit > startp)
#endif

/* Writer. p: next word. sent: kernel bytes, bells included. next: next byte of the stream. */
proctype writer()
{
	byte p = 0, sent = 0, next = 1, startp = 0, old = 0, bells = 0;
	bool mem = false, final = false, rung = false;

loop:	do
	:: next > D -> break
	:: next <= D && !mem ->					/* a byte over TCP */
		kern!next; sent++; next++
	:: next <= D && !mem && !final && p + 3 < S ->		/* switch */
		word[p + 1] = EMPTY;
#ifdef BUG_KPOS_DATA
		arg[p] = sent - bells;
#else
		arg[p] = sent;
#endif
		rung = false;
#ifdef BUG_RING_FIRST
		if :: word[p] == ARMED -> kern!0; sent++; rung = true :: else fi;
#endif
		PUBLISH(START);
		if
		:: old == CLOSED -> final = true		/* not wanted: stay on TCP */
		:: old == EMPTY -> startp = p; p++; mem = true
		:: old == ARMED ->
			if :: !rung -> kern!0; sent++; bells++ :: else fi;
			startp = p; p++; mem = true
		fi
	:: next <= D && mem && p + 2 < S ->			/* a byte through the ring */
		word[p + 1] = EMPTY;
		arg[p] = next;
		PUBLISH(DATA);
		if
		:: old == CLOSED -> goto answer
		:: old == EMPTY -> p++; next++
		:: old == ARMED -> kern!0; sent++; bells++; p++; next++
		fi
	:: mem && MAY_END ->					/* back, by the writer's will (L5) */
		word[p + 1] = EMPTY;
#if defined BUG_END_UNCOUNTED || defined BUG_END_SILENT
		arg[p] = sent;
#else
		arg[p] = sent + 1;
#endif
		PUBLISH(END);
		if
		:: old == CLOSED -> goto answer
		:: old == EMPTY || old == ARMED ->
#ifdef BUG_END_UNCOUNTED
			if :: old == ARMED -> kern!0; sent++ :: else fi;
#elif !defined BUG_END_SILENT
			kern!0; sent++; bells++;
#endif
			p++; mem = false
		fi
	od;
	goto out;

answer:	/* the reader closed the lane: acknowledge, and go on over TCP (L2, L4) */
	mem = false;
#if defined BUG_NO_ANSWER
	final = true;
#elif defined BUG_PRODUCED_LATE
	final = true; old = sent;
	if :: next <= D -> kern!next; sent++; next++ :: else fi;
	produced = old + 1;
#elif defined PRODUCED
	final = true;
	produced = sent + 1;
#elif defined BUG_END_LATE
	word[p + 1] = EMPTY;
	arg[p] = sent + 1;
	kern!0; sent++;
	if :: next <= D -> kern!next; sent++; next++ :: else fi;
	word[p] = END;
	p++;
#else
	word[p + 1] = EMPTY;
	arg[p] = sent + 1;
	atomic { assert(word[p] == CLOSED); word[p] = END };
	kern!0; sent++; bells++;
	p++;
#endif
	goto loop;
out:	skip
}

/* take one byte of the kernel lane that must be a bell, or the next byte of the stream */
#define TAKE_BELL	kern?b; taken++; assert(b == 0)
#define TAKE_DATA	kern?b; taken++; assert(b == want); want++

/*
 * Reader. p: next word. taken: kernel bytes taken. upto: kernel position up to which they are
 * bells (K of the last END). want: next byte of the stream. buf: the program's buffer.
 */
proctype reader()
{
	byte p = 0, taken = 0, upto = 0, want = 1, w = 0, n = 0, i = 0, b = 0;
	byte buf[M];

tcp:	/* on the kernel lane */
	do
	:: want > D -> goto out
	:: else ->
		w = word[p];
		assert(w != GARBAGE && w != DATA && w != END);
		if
		:: w == EMPTY ->				/* as at attach: START must ring */
			atomic { if :: word[p] == EMPTY -> word[p] = ARMED :: else fi }
		:: w == EMPTY || w == ARMED ->			/* "do not START" */
			atomic { if :: word[p] == EMPTY || word[p] == ARMED -> word[p] = CLOSED :: else fi }
		:: w == START ->
#ifdef BUG_NO_KPOS
			break
#else
			assert(taken <= arg[p]);
			if
			:: taken == arg[p] -> break
			:: else ->				/* exactly up to the switch (L1) */
				if
				:: taken < upto -> TAKE_BELL
				:: else -> TAKE_DATA
				fi
			fi
#endif
		:: w == ARMED || w == CLOSED ->			/* a receive, blocked in the kernel */
			atomic {
				nempty(kern); n = 0;
				do
				:: nempty(kern) && n < M -> kern?b; buf[n] = b; n++
				:: n > 0 -> break
				od
			};
#ifndef BUG_NO_TRIM
			w = word[p];				/* look again (L5) */
#endif
			d_step {
				i = 0;
				do
				:: i < n ->
					if
					:: taken < upto || (w == START && taken >= arg[p]) ->
						assert(buf[i] == 0)	/* a bell: trimmed */
					:: else ->
						assert(buf[i] == want); want++
					fi;
					taken++; buf[i] = 0; i++
				:: else -> break
				od;
				n = 0; i = 0; b = 0
			};
			/* what was trimmed lies beyond START: it counts as taken on the memory lane */
			if :: w == START && taken >= arg[p] -> break :: else fi
		fi
	od;
	p++;
	credit = p;						/* START consumed: tell (L5) */

	/* on the memory lane */
	do
	:: want > D -> goto out
	:: else ->
#ifdef BUG_LOOK_FIRST
		w = word[p];
		n = len(kern);
#else
		n = len(kern);
		w = word[p];
#endif
		if
		:: w == DATA ->
			assert(arg[p] == want); want++; p++; n = 0
		:: w == END ->
			assert(arg[p] >= taken);
			upto = arg[p]; p++; n = 0; break
		:: w == EMPTY || w == ARMED || w == CLOSED ->
#ifdef BUG_DROP_ALL
			do :: nempty(kern) -> TAKE_BELL :: empty(kern) -> break od;
			n = 0;
#elif defined PRODUCED
			/* once CLOSED, the word says nothing more: the other word does */
			do :: w != CLOSED && n > 0 -> TAKE_BELL; n-- :: else -> break od;
#else
			do :: n > 0 -> TAKE_BELL; n-- :: else -> break od;
#endif
			b = 0;
			if
			:: w != CLOSED ->			/* arm, look again, sleep */
				atomic {
					w = word[p];
					if :: w == EMPTY -> word[p] = ARMED :: else fi
				};
				if :: w == EMPTY || w == ARMED -> nempty(kern) :: else fi
			:: w != CLOSED ->			/* leave the lane, by the reader's will */
				atomic {
					w = word[p];
					if :: w == EMPTY || w == ARMED -> word[p] = CLOSED :: else fi
				}
#ifdef BUG_CLOSED_TCP
				;
				if :: word[p] == CLOSED -> goto rest :: else fi
#endif
			:: w == CLOSED ->
#ifdef PRODUCED
				nempty(kern);
				n = len(kern);
				i = produced;
				if
				:: i == 0 -> do :: n > 0 -> TAKE_BELL; n-- :: else -> break od
				:: else -> upto = i - 1; i = 0; n = 0; goto rest
				fi
#else
				nempty(kern)
#endif
			fi
		:: else -> assert(false)
		fi
	od;
	goto tcp;

rest:	/* TCP for good */
	do
	:: want > D -> break
	:: want <= D && taken < upto -> TAKE_BELL
	:: want <= D && taken >= upto -> TAKE_DATA
	od;
out:	skip
}

init
{
	word[0] = ARMED;	/* as attached: the reader counts as asleep */
	atomic { run writer(); run reader() }
}
