/*
 * lanes.pml - one direction of a connection over two lanes: TCP, one stay in memory, TCP
 *
 * Covers: START, DATA and END records, the reader's CLOSED, bells as bytes on the kernel lane, bells
 * that cannot be sent. Checked: every byte is delivered exactly once and in order, no bell is ever
 * taken for data or data for a bell, nobody sleeps for ever (that is an invalid end state) or is kept
 * awake by a byte that it cannot account for, whoever closed the lane in the middle of it.
 *
 * The kernel lane is a FIFO of bytes: 0 is a bell, 1..D are the stream's bytes. The reader has to
 * tell one from the other by position alone; the model looks at the value only in assertions.
 * The memory lane is one word a record, positions never wrap; room is credit.pml's business and a
 * second sleeper is word.pml's. Bells rung for the other direction's credit share the FIFO: here the
 * writer rings some at any time. END of file is half.pml's.
 *
 *      writer                                reader
 *      TCP:  data                            TCP:  n = bytes waiting in the kernel (B2)
 *            rung = sent                           w = word
 *            word: START(k = sent)                   no START: take n; START(k): up to k
 *      MEM:  word: DATA                      MEM:  word: DATA: take it
 *              was ARMED: bell                     limit = rung; drop bytes below limit (B1)
 *            rung = sent + 1; send a bell          word: EMPTY|ARMED -> CLOSED
 *            word: END; or CLOSED -> END           word: END: upto = rung
 *      DONE: the bell that is owed           DONE: drop bytes below upto
 *            data                                  take the rest
 *
 * B1  rung is stored before the bell is sent, and never becomes less. So every bell that waits is
 *     below rung, and a limit loaded before END was published is not above the bells. Dropping
 *     needs no look at the ring, and may happen with records and END unread, and data behind END.
 * B2  Before START kernel bytes mean nothing until the word was looked at AFTER they were seen.
 * B3  The kernel may refuse a bell, if bytes are under way: they wake the reader as well. But its
 *     position is announced already. It is owed: the next bell is this one, and if there is none,
 *     it is sent before the first byte of data behind END. Taking the announcement back is wrong: the reader
 *     may have loaded it, and will drop what stands there by the time that it gets to dropping.
 * B4  END is published before the first byte of data is sent, CLOSED or not. It rings nobody: that byte
 *     does. The reader leaves the lane by consuming END, always.
 * B5  END without a START (the reader closed at once, or the writer left at once): rung says nothing.
 *
 * Variants, correct too:
 *   COUNT_FIRST       rung is lowered again, but the reader counts what waits before it loads rung
 *
 * Bugs, each must fail:
 *   BUG_DRAIN_ALL     the reader drops all that waits, not what is below rung (B1)
 *   BUG_RUNG_LATE     the bell is sent, then rung is stored (B1)
 *   BUG_LOOK_FIRST    look at the word, then count what waits (B2)
 *   BUG_RING_FIRST    START's bell is sent before START is published (B2)
 *   BUG_NO_KPOS       the reader turns to the ring as soon as it sees START (B2)
 *   BUG_RUNG_LOWERED  rung is lowered when the kernel refuses the bell (B3)
 *   BUG_NO_DEBT       a refused bell is forgotten (B3)
 *   BUG_END_LATE      answer to CLOSED: data first, END after it (B4)
 *   BUG_NO_ACK        answer to CLOSED: none, straight on over TCP (B4)
 *   BUG_CLOSED_TCP    the reader takes its own CLOSED for the end of the bells (B4)
 *   BUG_SKIP_TCP      rung is believed at an END without a START (B5)
 */

#ifndef D
#define D	4	/* bytes of the stream */
#endif
#ifndef B
#define B	2	/* bells for the other direction */
#endif
#define S	8	/* words */
#define Q	14	/* more than there can be: what the kernel refuses is not decided by this */

#define GARBAGE	0	/* memory that nobody wrote yet: reading it is an error */
#define EMPTY	1
#define ARMED	2
#define CLOSED	3
#define START	4
#define DATA	5
#define END	6

byte word[S];			/* one writer at a time: see the word protocol */
byte arg[S];			/* payload: kernel position, or the data byte */
byte rung;			/* kernel position behind the last bell */
chan kern = [Q] of { byte };	/* the TCP connection, this direction */

/* old = word[p]; EMPTY or ARMED -> rec */
#define PUBLISH(rec) \
	atomic { old = word[p]; if :: old == EMPTY || old == ARMED -> word[p] = rec :: else fi }

inline bell()
{
#ifdef BUG_RUNG_LATE
	kern!0; sent++;
	rung = sent;
#else
	rung = sent + 1;
	if
	:: kern!0; sent++; owed = false
	:: nempty(kern) ->					/* refused (B3) */
#if defined BUG_RUNG_LOWERED || defined COUNT_FIRST
		rung = sent
#elif defined BUG_NO_DEBT
		skip
#else
		owed = true
#endif
	fi
#endif
}

/* Writer. p: next word. sent: kernel bytes, bells included. next: next byte of the stream. */
proctype writer()
{
	byte p = 0, sent = 0, next = 1, old = 0, credits = 0;
	bool owed = false, early = false;

tcp:	do
	:: next > D -> goto out
	:: next <= D -> kern!next; sent++; next++
	:: next <= D ->						/* switch */
		word[p + 1] = EMPTY;
		rung = sent;
		arg[p] = sent;
#ifdef BUG_RING_FIRST
		if :: word[p] == ARMED -> bell(); early = true :: else fi;
#endif
		PUBLISH(START);
		if
		:: old == CLOSED -> goto answer			/* not wanted */
		:: old == EMPTY -> p++; break
		:: old == ARMED ->
			p++;
			if :: !early -> bell() :: else fi;
			break
		fi
	:: next <= D -> goto end				/* leave without a stay */
	od;

	do
	:: next > D -> goto out
	:: next <= D ->						/* a byte through the ring */
		word[p + 1] = EMPTY;
		arg[p] = next;
		PUBLISH(DATA);
		if
		:: old == CLOSED -> goto answer
		:: old == EMPTY -> p++; next++
		:: old == ARMED -> p++; next++; bell()
		fi
	:: credits < B -> credits++; bell()			/* the other direction's credit */
	:: next <= D -> goto end				/* back, by the writer's will */
	od;

end:	word[p + 1] = EMPTY;
	PUBLISH(END);
	if
	:: old == CLOSED -> goto answer
	:: else -> goto done
	fi;

answer:	/* the reader closed the lane: acknowledge, and go on over TCP (B4) */
#ifndef BUG_NO_ACK
#ifdef BUG_END_LATE
	kern!next; sent++; next++;
#endif
	atomic { assert(word[p] == CLOSED); word[p] = END };
#endif

done:	do
	:: next > D -> break
	:: next <= D && owed -> kern!0; sent++; owed = false	/* (B3) */
	:: next <= D && !owed -> kern!next; sent++; next++
	od;
out:	skip
}

/* take one byte of the kernel lane that must be a bell, or the next byte of the stream */
#define TAKE_BELL	kern?b; taken++; assert(b == 0); b = 0
#define TAKE_DATA	kern?b; taken++; assert(b == want); b = 0; want++

#define IS_RECORD(w)	((w) == START || (w) == DATA || (w) == END)

/* e = the first word, from p on, that is neither START nor DATA: records stay as they are */
#define WALK	e = p; do :: word[e] == START || word[e] == DATA -> e++ :: else -> break od

/* drop bells. What the kernel has may not be there yet: any number up to what is allowed (B1) */
inline drop()
{
#if defined BUG_DRAIN_ALL
	atomic { do :: nempty(kern) -> TAKE_BELL :: empty(kern) -> break od }
#else
#ifdef COUNT_FIRST
	n = len(kern);
#endif
	limit = rung;
	atomic {
#ifndef COUNT_FIRST
		n = len(kern);
#endif
		do
		:: n > 0 && taken < limit -> TAKE_BELL; n--
		:: true -> break
		od;
		n = 0; limit = 0
	}
#endif
}

/* at the end of the records: EMPTY -> ARMED */
inline arm()
{
	d_step {
		WALK;
		if :: word[e] == EMPTY -> word[e] = ARMED :: else fi;
		e = 0
	}
}

/* at the end of the records: EMPTY|ARMED -> CLOSED */
inline close_lane()
{
	d_step {
		WALK;
		if :: word[e] == EMPTY || word[e] == ARMED -> word[e] = CLOSED :: else fi;
		e = 0
	};
	closed = true
}

/*
 * Reader. p: next word. taken: kernel bytes taken. upto: kernel position up to which they are bells.
 * want: next byte of the stream.
 */
proctype reader()
{
	byte p = 0, taken = 0, upto = 0, want = 1, w = 0, n = 0, limit = 0, e = 0, b = 0;
	bool closed = false;

	/* on the kernel lane */
	do
	:: want > D -> goto out
	:: want <= D && !closed -> close_lane()
	:: want <= D ->
#ifdef BUG_LOOK_FIRST
		w = word[p];
		n = len(kern);
#else
		n = len(kern);
		w = word[p];
#endif
		assert(w != GARBAGE && w != DATA);
		if
		:: w == END ->					/* (B5) */
			p++; n = 0;
#ifdef BUG_SKIP_TCP
			upto = rung;
#else
			upto = taken;
#endif
			goto done
#ifdef BUG_NO_KPOS
		:: w == START -> p++; n = 0; break
#else
		:: w == START && taken == arg[p] -> p++; n = 0; break
		:: w == START && taken != arg[p] ->		/* exactly up to the switch */
			assert(taken < arg[p]);
			if :: n > arg[p] - taken -> n = arg[p] - taken :: else fi
#endif
		:: else
		fi;
		if
		:: n > 0 ->
			do
			:: n > 0 -> TAKE_DATA; n--
			:: n > 0 -> break
			:: n == 0 -> break
			od;
			n = 0
		:: n == 0 ->					/* arm, look again, sleep */
			arm();
			w = word[p];
			if :: IS_RECORD(w) :: else -> nempty(kern) fi
		fi;
		w = 0
	od;

	/* on the memory lane */
	w = 0;
	do
	:: want > D -> goto out
	:: want <= D && !closed -> close_lane()
	:: want <= D && nempty(kern) -> drop()
	:: want <= D ->
		w = word[p];
		if
		:: w == DATA ->
			assert(arg[p] == want);
			want++; p++
		:: w == END ->
			p++; upto = rung; break
		:: w == EMPTY || w == ARMED || w == CLOSED ->
#ifdef BUG_CLOSED_TCP
			if :: w == CLOSED -> upto = rung; break :: else fi;
#endif
			arm();
			drop();
			w = word[p];
			if
			:: IS_RECORD(w)
			:: else ->
				nempty(kern);			/* sleep */
				limit = rung;
				d_step {
					WALK;			/* no bell: then there is END (B1, B4) */
					assert(taken < limit || word[e] == END);
					e = 0; limit = 0
				}
			fi
		:: else -> assert(false)
		fi;
		w = 0
	od;

done:	/* TCP for good */
	w = 0;
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
