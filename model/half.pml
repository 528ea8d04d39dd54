/*
 * half.pml - shutdown(SHUT_WR), close, a crash; and what leaving one lane does to the other
 *
 * Covers: both directions of a connection, both on the memory lane. Each side writes some bytes
 * and then ends its direction with the kernel's FIN, with a FIN record before it or without (a
 * crash leaves none). Side 0 may read before it writes, and may go back to TCP at any time. Side 1
 * writes more than its ring holds and may be asleep for room. Checked: whoever reports EOF has
 * had every byte, in order; nothing is overwritten unread; nobody sleeps for ever.
 *
 * A bell of side X is a byte in X's own direction of TCP, so X can ring only while that direction
 * is on the memory lane. When it goes back to TCP (its END) or ends (FIN), X can no longer wake a peer
 * that waits for room, so the other lane has to end too:
 *
 *      X leaves                               Y writes towards X, finds no room
 *      walk to Y's end word (records not      old = fetch_or(credit, WANT): still none
 *        yet read stay), CAS there:           look at my next word (H2)
 *        EMPTY|ARMED -> CLOSED (H1)             CLOSED: END in its place, on over TCP
 *      credit has WANT: ring Y (H1)             no: sleep: X's bell or FIN wakes; again
 *      END; or FIN record
 *        and the kernel's FIN
 *
 * H1  The other lane is closed first, then WANT is looked at, then END: END wakes nobody, and behind it
 *     there are no bells. With FIN none of it is needed for waking, see H6.
 * H2  A writer that waits for room looks at its next word, after it has set WANT and before it sleeps.
 * H3  END in place of CLOSED, and the FIN record, must not wait for room: a record is written
 *     only if END and a terminator fit behind it.
 * H4  A reader that sees the kernel's FIN looks at the ring once more before it reports EOF.
 * H5  A writer that waits drains bells with unread records before it, END or FIN among them: by rung only (B1
 *     of lanes.pml). It sleeps with other bytes in the queue, and wakes for new ones.
 * H6  A writer that waits and sees the kernel's FIN leaves its lane: a dead peer's kernel answers with
 *     RST; one that reads on finds END.
 * H7  Who meets CLOSED need not close the other lane: who closed left or ended that one, too.
 *
 * Abstracted: one thread a side (word.pml, credit.pml), START and refused bells (lanes.pml), RST
 * (it ends the side at once).
 *
 * Bugs, each must fail:
 *   BUG_EOF_AT_ONCE    EOF as soon as the kernel says so (H4)
 *   BUG_KEEP_LANE      leave without closing the other lane (H1)
 *   BUG_LEAVE_END_FIRST END first, then close the other lane (H1)
 *   BUG_WANT_FIRST     look at WANT, then close the other lane (H1)
 *   BUG_NO_WANT        close the other lane, ring nobody (H1)
 *   BUG_CLOSE_NEXT     close at the next word only, so not at all before an unread record (H1)
 *   BUG_NO_CLOSED_LOOK the writer that waits looks at the credit only (H2)
 *   BUG_NO_END_ROOM    records as long as a terminator fits (H3)
 *   BUG_DRAIN_ALL      a writer that waits drains all that is there (H5)
 *   BUG_FIN_STAY       a writer that waits takes FIN for no news (H6)
 */

#define R	4	/* words a ring: two records, END, terminator */
#define N0	2	/* bytes that side 0 writes: they fit, or both could wait for the other to read */
#define N1	3	/* bytes that side 1 writes */

#define EMPTY	0
#define ARMED	1
#define CLOSED	2
#define DATA	3
#define END	4
#define FINREC	5

#define BELL	0	/* in the kernel's queues; 1.. are data */
#define FIN	99

/* index 0: the direction that side 0 writes; 1: the other */
byte word[2 * R];
byte val[2 * R];			/* data */
byte rung[2];				/* kernel position behind the last bell */
byte credit[2];				/* reader's position * 2 + WANT */
byte truth[2];				/* reader's position, for assertions only */
bool finsent[2];			/* the kernel's FIN, last in the queue */
bool dead[2];				/* that side's process is gone */
chan kern[2] = [12] of { byte };	/* never full: a bell is never refused */

#define W(d, p)	word[(d) * R + (p) % R]
#define V(d, p)	val[(d) * R + (p) % R]
#define SEND(b)	kern[out]!b; sent++
#define SEND_FIN atomic { kern[out]!FIN; finsent[out] = true }

#ifdef BUG_NO_END_ROOM
#define ROOM	(p + 2 - room <= R)
#else
#define ROOM	(p + 3 - room <= R)
#endif
#ifdef BUG_CLOSE_NEXT
#define MORE	false
#else
#define MORE	true
#endif

#define RING	rung[out] = sent + 1; SEND(BELL)

/* tell my position; ring if that was asked for */
inline tell()
{
	atomic { old = credit[in]; credit[in] = r * 2 };
	told = r;
	if :: old % 2 == 1 && mem -> RING :: else fi;
	old = 0
}

/* end the lane towards me at its end word, the first that is no data (H1) */
inline close_in()
{
#ifdef BUG_WANT_FIRST
	tell();
#endif
	e = r;
	do
	:: atomic {
			w = W(in, e);
			if :: w == EMPTY || w == ARMED -> W(in, e) = CLOSED :: else fi
		};
		if :: MORE && w == DATA -> e++ :: else -> break fi
	od;
	e = 0; w = 0;
#if !defined BUG_NO_WANT && !defined BUG_WANT_FIRST
	tell()
#endif
}

/* put rec into my next word; w: what was there */
inline publish(rec, v)
{
	assert(p + 1 - truth[out] < R);			/* the terminator's word was read */
	W(out, p + 1) = EMPTY;
	V(out, p) = v;
	atomic {
		w = W(out, p);
		if
		:: w == EMPTY || w == ARMED -> W(out, p) = rec
		:: w == CLOSED && rec == END -> W(out, p) = rec
		:: else -> assert(w == CLOSED)
		fi
	}
}

/* back to TCP, by my own will */
inline leave()
{
#if !defined BUG_KEEP_LANE && !defined BUG_LEAVE_END_FIRST
	close_in();
#endif
	publish(END, 0);
	p++;
	mem = false;
#ifdef BUG_LEAVE_END_FIRST
	close_in();
#endif
	w = 0
}

/* back to TCP: CLOSED met, or FIN seen (H6, H7) */
inline answer()
{
	publish(END, 0);
	p++;
	mem = false;
	w = 0
}

/* drop bells, all that are there and known */
#define DROP \
	atomic { \
		do \
		:: taken < limit && kern[in]?[BELL] -> kern[in]?b; taken++ \
		:: taken < limit && nempty(kern[in]) && !(kern[in]?[BELL]) -> assert(kern[in]?[FIN]); break \
		:: taken >= limit || empty(kern[in]) -> break \
		od; \
		b = 0; limit = 0 \
	}

/* no room: drain bells, ask for room, sleep; or find the lane ended */
inline wait_room()
{
#ifdef BUG_DRAIN_ALL
	limit = 255;
#else
	if :: rmem -> limit = rung[in] :: else -> limit = upto fi;
#endif
	DROP;
	atomic { n = len(kern[in]); f = finsent[in] };		/* no reason to wake again */

	atomic { room = credit[out] / 2; credit[out] = room * 2 + 1 };
	if
	:: ROOM
#ifndef BUG_NO_CLOSED_LOOK
	:: !ROOM && W(out, p) == CLOSED -> answer()		/* (H2) */
#endif
	:: else ->
		if
#ifndef BUG_FIN_STAY
		:: f ->						/* (H6) */
			if :: dead[in] -> reset = true :: else -> answer() fi
#endif
		:: else -> len(kern[in]) > n			/* sleep */
		fi
	fi;
	n = 0; f = false
}

inline write_all()
{
	do
	:: next > total || reset -> break
	:: next <= total && mem && me == 0 -> leave()	/* of its own will */
	:: next <= total && !mem -> SEND(next); next++
	:: next <= total && mem && ROOM ->
		publish(DATA, next);
		if
		:: w == EMPTY -> p++; next++
		:: w == ARMED -> p++; next++; RING
		:: w == CLOSED -> answer()
		fi;
		w = 0
	:: next <= total && mem && !ROOM && !reset ->
		room = credit[out] / 2;
		if :: ROOM :: else -> wait_room() fi
	od
}

/* shutdown(SHUT_WR) or close */
inline shut()
{
	if
	:: mem ->
		close_in();
		if
		:: publish(FINREC, 0);
			if :: w == CLOSED -> answer() :: else -> p++ fi
		:: true				/* FIN without its record is as good */
		fi;
		mem = false;
		SEND_FIN;
		w = 0
	:: else -> SEND_FIN
	fi
}

inline read_all()
{
	do
	:: eof -> break
	:: !eof && mem && me == 0 -> leave()			/* of its own will */
	:: !eof && !rmem ->					/* on TCP */
		kern[in]?b;
		if
		:: b == FIN -> eof = true
		:: b != FIN && taken < upto -> assert(b == BELL); taken++
		:: b != FIN && taken >= upto -> assert(b == want); want++; taken++
		fi;
		b = 0
	:: !eof && rmem ->
		f = finsent[in];
		w = W(in, r);					/* (H4) */
		if
		:: w == DATA ->
			assert(V(in, r) == want);
			want++; r++; truth[in] = r;
			if
			:: credit[in] % 2 == 1 -> tell()
			:: credit[in] % 2 == 0
			fi
		:: w == END -> upto = rung[in]; r++; rmem = false
		:: w == FINREC -> eof = true
		:: w == EMPTY || w == ARMED || w == CLOSED ->
			limit = rung[in];
			DROP;
#ifdef BUG_EOF_AT_ONCE
			f = kern[in]?[FIN];			/* as it is now, after the look */
#endif
			if
			:: f -> eof = true
			:: else ->
				if :: told != r -> tell() :: else fi;
				atomic {
					w = W(in, r);
					if :: w == EMPTY -> W(in, r) = ARMED :: else fi
				};
				if
				:: w == DATA || w == END || w == FINREC
				:: else -> nempty(kern[in])	/* sleep */
				fi
			fi
		fi;
		w = 0; f = false
	od;
	assert(reset || want == 1 + (me == 0 -> N1 : N0))
}

proctype side(byte me)
{
	byte out = me, in = 1 - me, total = (me == 0 -> N0 : N1);
	byte p = 0, room = 0, sent = 0, next = 1;			/* as a writer */
	byte r = 0, told = 0, taken = 0, upto = 0, want = 1;		/* as a reader */
	bool mem = true, rmem = true, eof = false, reset = false, wrote = false;
	byte w = 0, n = 0, f = 0, e = 0, b = 0, old = 0, limit = 0;

	do
	:: wrote && eof -> break
	:: !wrote ->
		write_all();
		if
		:: me == 0 -> dead[out] = true; SEND_FIN; break		/* a crash */
		:: true -> shut(); wrote = true
		fi
	:: !eof && (wrote || me == 0) -> read_all()
	od
}

init
{
	/* as after START in both directions: both sides count as asleep */
	word[0] = ARMED;
	word[R] = ARMED;
	atomic { run side(0); run side(1) }
}
