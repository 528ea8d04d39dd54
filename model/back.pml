/*
 * back.pml - giving back: a reader leaves the memory lane with records unread, for a stranger to go on
 *
 * Covers: one direction that is on the memory lane. At some moment the socket goes to a program that knows TCP only
 * (the stranger: it was executed, or got the socket by SCM_RIGHTS). What the reader has not taken from the
 * ring must reach the stranger over TCP, so the writer has to send it again. Checked: reader and stranger
 * together get every byte once and in order; the stranger never gets a bell; nobody waits for ever, also if
 * the kernel's queue holds less than what is given back, and the writer is asleep for an answer.
 *
 *      reader                                writer
 *        back = my position (G1)               publishes records, rings for ARMED
 *        walk to the end word, CAS there:      sleeps for an answer: looks at its word when rung (G2)
 *          EMPTY|ARMED -> CLOSED
 *          FIN: too late, the ring is read     word is CLOSED, at a publish or when rung:
 *        ring the writer (G2)                    CLOSED -> END (G3)
 *        wait for END, drop bells (G4)           back is set: send [back, end) over TCP
 *        drop the bells below rung (G4)          go on over TCP
 *      stranger: TCP from here
 *
 * G1  back is stored before the CAS and loaded after CLOSED was seen. The credit stays at back: the writer's
 *     terminator, which it stores before it can see CLOSED, must not fall on what is given back.
 * G2  The writer may be asleep for the answer that only the stranger will give. It is rung without having asked,
 *     and looks at its word.
 * G3  END comes before the first byte that is sent again: the kernel's queue may be full long before the last, and the
 *     stranger, who would make room, starts after END.
 * G4  A bell may be on its way until the writer has seen CLOSED. END says that it has, and what rung is. The
 *     reader drops bells while it waits, or the writer may have no room for the one that it owes.
 *
 * Abstracted: START (lanes.pml), room and WANT (credit.pml): here a record is only written where its
 * terminator's word was given as credit. The other direction: one bell, and an end.
 *
 * Bugs, each must fail:
 *   BUG_BACK_LATE      close the lane, then store back (G1)
 *   BUG_CREDIT_END     give credit up to the end when closing (G1)
 *   BUG_NO_RING        do not ring (G2)
 *   BUG_NO_LOOK        the writer that was rung looks for an answer only (G2)
 *   BUG_END_LATE       send again first, END then (G3)
 *   BUG_NO_WAIT        the stranger starts at once (G4)
 *   BUG_WAIT_ONLY      drop no bells while waiting for END (G4)
 *   BUG_NO_DRAIN       the stranger starts with END (G4)
 */

#define R	4	/* words in the ring */
#define N	4	/* bytes that the writer sends */
#define K	1	/* bytes that the kernel's queue holds */

#define EMPTY	0
#define ARMED	1
#define CLOSED	2
#define DATA	3
#define END	4
#define FINREC	5

#define NONE	255
#define BELL	0	/* in the kernel's queue; 1.. are data */

byte word[R], val[R];
byte rung;		/* kernel position behind the last bell */
byte back = NONE;	/* reader's: send from here on again */
byte credit;		/* reader's position, as given */
chan kern = [K] of { byte };
byte rings;		/* bells towards the writer, unread */
bool finsent, answered;
byte want = 1;		/* next byte that is due: reader's and stranger's */

#define W(p)	word[(p) % R]
#define V(p)	val[(p) % R]

#define SEND(b)	atomic { kern!b; sent++ }

/* CLOSED was seen: end the lane, and give back what was asked for */
inline answer()
{
	g = back;						/* (G1) */
#ifndef BUG_END_LATE
	W(p) = END;						/* (G3) */
#endif
	mem = false;
	do
	:: g < p -> assert(W(g) == DATA); SEND(V(g)); g++
	:: else -> break
	od;
#ifdef BUG_END_LATE
	W(p) = END;
#endif
	g = 0
}

/* put rec into my next word; w: what was there */
inline publish(rec, v)
{
	W(p + 1) = EMPTY;
	V(p) = v;
	if :: rec == DATA -> V(p + 2) = 0 :: else fi;		/* a payload reaches that far */
	atomic {
		w = W(p);
		if :: w == EMPTY || w == ARMED -> W(p) = rec :: else -> assert(w == CLOSED) fi
	}
}

proctype writer()
{
	byte p = 0, sent = 0, next = 1, w = 0, g = 0;
	bool mem = true;

	do
	:: next > N -> break
	:: next <= N && !mem -> SEND(next); next++
	:: next <= N && mem && p + 2 - credit < R ->
		publish(DATA, next);
		if
		:: w == EMPTY -> p++; next++
		:: w == ARMED -> p++; next++; rung = sent + 1; SEND(BELL)
		:: w == CLOSED -> answer()
		fi;
		w = 0
	:: next <= N && mem && p + 2 - credit >= R ->		/* no room */
		(p + 2 - credit < R || W(p) == CLOSED);
		if :: W(p) == CLOSED -> answer() :: else fi
	od;
	if
	:: true ->						/* wait for an answer */
		do
		:: answered -> break
		:: rings > 0 ->
			rings--;
#ifndef BUG_NO_LOOK
			if :: mem && W(p) == CLOSED -> answer() :: else fi
#endif
		od
	:: true							/* close at once */
	fi;
	if
	:: mem ->
		publish(FINREC, 0);
		if :: w == CLOSED -> answer() :: else fi
	:: else
	fi;
	finsent = true
}

proctype reader()
{
	byte r = 0, taken = 0, upto = 0, e = 0, w = 0, b = 0;
	bool over = false;

	/* as the library does, for a while */
	do
	:: W(r) == DATA -> assert(V(r) == want); want++; r++; if :: credit = r :: true fi
	:: taken < rung && kern?[BELL] -> kern?b; taken++
	:: atomic { W(r) == EMPTY -> W(r) = ARMED }; credit = r
	:: true -> break
	od;

	/* give back */
#ifndef BUG_BACK_LATE
	back = r;						/* (G1) */
#endif
	e = r;
	do
	:: atomic {
			w = W(e);
			if :: w == EMPTY || w == ARMED -> W(e) = CLOSED :: else fi
		};
		if :: w == DATA -> e++ :: else -> break fi
	od;
#ifdef BUG_BACK_LATE
	back = r;
#endif
#ifdef BUG_CREDIT_END
	credit = e;
#else
	credit = r;
#endif
	if
	:: w == FINREC ->					/* too late: what is there is all */
		do
		:: W(r) == DATA -> assert(V(r) == want); want++; r++
		:: else -> break
		od;
		goto done
	:: else
	fi;
#ifndef BUG_NO_RING
	rings++;						/* (G2) */
#endif
#ifndef BUG_NO_WAIT
	do							/* (G4) */
	:: W(e) == END -> break
#ifndef BUG_WAIT_ONLY
	:: taken < rung && kern?[BELL] -> kern?b; taken++
#endif
	od;
#ifndef BUG_NO_DRAIN
	upto = rung;
	do
	:: taken < upto -> kern?b; assert(b == BELL); taken++
	:: else -> break
	od;
#endif
#endif
	/* the stranger: it knows nothing of all this */
	do
	:: want > N -> break
	:: kern?b -> assert(b == want); want++
	:: timeout -> break
	od;
	if :: nempty(kern) -> kern?b; assert(false) :: else fi;
done:
	answered = true;
	assert(want == N + 1)
}

init
{
	word[0] = ARMED;
	back = NONE;
	atomic { run writer(); run reader() }
}
