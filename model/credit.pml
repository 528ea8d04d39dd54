/*
 * credit.pml - room in the ring: a writer that waits for it, and the reader that gives it
 *
 * Covers: a ring of R words that wraps, the reader's position in one word with the bit WANT, the
 * writer's sleep on it, arming and closing at the same time; and, since the writer's bell is a
 * byte in the receive queue of the writer's own socket, a second thread of the writer's side that
 * sleeps on that socket for the data of the other direction. Checked: no record is overwritten
 * before it was read or read twice, nobody sleeps for ever, CLOSED stops a writer that waits.
 *
 * Abstracted: a record is one word; the other direction is one word, used M times; a record
 * needs room for itself and its terminator. Memory is sequentially consistent here.
 *
 *      writer                                 reader
 *      no room by the last known credit       advance
 *      load credit: still none                (a) enough since the last time,
 *      sleepers++                             (b) before arming or closing,
 *      old = fetch_or(credit, WANT) (C1)      (c) WANT is seen:
 *      no room by old (C2)                      old = exchange(credit, position)  (C1, C3)
 *      sleep; sleepers--                        had WANT: ring
 *
 * C1  WANT and the position change one word by read-modify-write. The exchange that takes WANT
 *     away rings, so a WANT that was set is answered by whoever overwrites it.
 * C2  The position that comes back with fetch_or counts, not the one loaded before.
 * C3  The reader tells its position before it arms or closes. If the CAS succeeds after that, the
 *     writer has all of the ring, and knows it or is rung: both sides never sleep at once. So
 *     here the writer could do without a look at its own next word for CLOSED; it needs that look
 *     where the reader closes with records unread (half.pml).
 * C4  A writer that sleeps registers like a reader that sleeps (W4 of word.pml), before WANT is
 *     set: readers and writers of one side sleep on the same socket.
 *
 * "Enough" in (a) is any amount here, so every threshold is covered.
 *
 * Variants, correct too:
 *   NO_EAGER           without (a) and (c), which are for speed
 *   NO_CLOSED_LOOK     without the look at the writer's own next word
 *   BOUNDED            the writer uses less than the ring has (SO_SNDBUF)
 *
 * Bugs, each must fail:
 *   BUG_WANT_STORE     the writer stores position and WANT over the reader's word (C1)
 *   BUG_CREDIT_STORE   the reader loads, then stores its position (C1)
 *   BUG_NO_SECOND_LOOK sleep without regarding what fetch_or returned (C2)
 *   BUG_ARM_SILENT     arm without telling the position (C3)
 *   BUG_CLOSE_SILENT   close without telling the position (C3)
 *   BUG_NO_RING        the exchange takes WANT away and does not ring (C1)
 *   BUG_NO_REGISTER    the writer sleeps unregistered (C4)
 *   BUG_NO_TERMINATOR_ROOM  a record that fits is written, its terminator overwrites
 */

#ifndef N
#define N	4	/* records */
#endif
#ifndef R
#define R	3	/* words in the ring */
#endif
#ifndef M
#define M	1	/* records of the other direction */
#endif

#define EMPTY	0
#define ARMED	1
#define RECORD	2
#define CLOSED	3

byte word[R];		/* the writer's, until the reader arms or closes it */
byte val[R];		/* payload: which record it is */
byte credit;		/* position * 2 + WANT */
byte truth;		/* the reader's real position, for assertions only */
byte rbell;		/* bells waiting at the reader's side */

/* the writer's side */
byte bell;		/* bells waiting at the writer's side, of either kind */
bool locked;
byte sleepers;
bool done;
byte other = ARMED;	/* the other direction's word */

#define LOCK	atomic { !locked -> locked = true }
#define UNLOCK	locked = false

#ifdef BUG_NO_TERMINATOR_ROOM
#define ROOM	(p + 1 - room <= R)
#elif defined(BOUNDED)
#define ROOM	(p + 2 - room <= R - 1)
#else
#define ROOM	(p + 2 - room <= R)
#endif

/* p: position. room: the reader's position as last known. */
proctype writer()
{
	byte p = 0, room = 0, old = 0, n = 0;

	do
	:: p == N -> break
	:: p < N && ROOM ->
		assert(p + 1 - truth < R);		/* that word was read */
		word[(p + 1) % R] = EMPTY;
		val[p % R] = p;
		atomic {
			old = word[p % R];
			if
			:: old == EMPTY || old == ARMED -> word[p % R] = RECORD
			:: else -> assert(old == CLOSED)
			fi
		};
		if
		:: old == EMPTY -> p++
		:: old == ARMED -> p++; rbell++
		:: old == CLOSED -> break
		fi
	:: p < N && !ROOM ->
		room = credit / 2;
		if :: ROOM -> goto again :: else fi;

		LOCK;
		n = bell;
		if :: n > 0 && sleepers > 0 -> UNLOCK; goto again :: else fi;
		bell = bell - n;
#ifndef BUG_NO_REGISTER
		sleepers++;
#endif
		UNLOCK;
#ifdef BUG_WANT_STORE
		old = room * 2;
		credit = old + 1;
#else
		atomic { old = credit; credit = (old / 2) * 2 + 1 };
#endif
#ifndef BUG_NO_SECOND_LOOK
		room = old / 2;
#endif
		if
		:: ROOM					/* WANT stays: one bell for nothing */
#ifndef NO_CLOSED_LOOK
		:: !ROOM && word[p % R] == CLOSED
#endif
		:: else -> bell > 0			/* sleep */
		fi;
#ifndef BUG_NO_REGISTER
		sleepers--;
#endif
#ifndef NO_CLOSED_LOOK
		if :: word[p % R] == CLOSED -> break :: else fi;
#endif
again:		old = 0; n = 0
	od;
	done = true
}

#ifdef BUG_CREDIT_STORE
#define TELL	old = credit; credit = p * 2; told = p; RING
#else
#define TELL	atomic { old = credit; credit = p * 2 }; told = p; RING
#endif
#ifdef BUG_NO_RING
#define RING	skip
#else
#define RING	if :: old % 2 == 1 -> bell++ :: else fi
#endif

/* p: position. told: the position told last. */
proctype reader()
{
	byte p = 0, told = 0, w = 0, old = 0;

	do
	:: p == N -> break
	:: else ->
		w = word[p % R];
		if
		:: w == RECORD ->
			assert(val[p % R] == p);
			p++;
			truth = p;
#ifndef NO_EAGER
			if
			:: true -> TELL				/* (a) */
			:: credit % 2 == 1 -> TELL		/* (c) */
			:: credit % 2 == 0
			fi
#endif
		:: w == EMPTY || w == ARMED ->
			rbell = 0;
			if
			:: true ->				/* sleep */
#ifndef BUG_ARM_SILENT
				if :: told != p -> TELL :: else fi;
#endif
				atomic {
					w = word[p % R];
					if :: w == EMPTY -> word[p % R] = ARMED :: else fi
				};
				if :: w == RECORD :: else -> rbell > 0 fi
			:: p > 0 ->				/* leave the lane */
#ifndef BUG_CLOSE_SILENT
				if :: told != p -> TELL :: else fi;
#endif
				atomic {
					w = word[p % R];
					if
					:: w == EMPTY || w == ARMED -> word[p % R] = CLOSED
					:: else
					fi
				};
				if :: w != RECORD -> break :: else fi
			fi
		fi;
		w = 0; old = 0
	od
}

/* the other direction: its writer at the far side, its reader in the writer's process */
proctype far()
{
	byte i = 0, old = 0;

	do
	:: i == M -> break
	:: i < M && other != RECORD ->
		if :: true :: true -> done fi;		/* late, so that it hides no lost wake-up */
		atomic { old = other; other = RECORD };
		if :: old == ARMED -> bell++ :: else fi;
		i++
	od
}

proctype near()
{
	byte i = 0, n = 0, w = 0;

	do
	:: i == M -> break
	:: else ->
		LOCK;
		n = bell;
		w = other;
		if
		:: w == RECORD -> other = EMPTY; i++; UNLOCK
		:: else ->
			if :: n > 0 && sleepers > 0 -> UNLOCK; goto again :: else fi;
			bell = bell - n;
			atomic { w = other; if :: w == EMPTY -> other = ARMED :: else fi };
			if :: w == RECORD -> UNLOCK; goto again :: else fi;
			sleepers++;
			UNLOCK;
			bell > 0;				/* sleep */
			sleepers--
		fi;
again:		n = 0; w = 0
	od
}

init
{
	word[0] = ARMED;
	atomic { run writer(); run reader(); run far(); run near() }
}
