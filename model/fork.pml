/*
 * fork.pml - one end of a connection in two processes
 *
 * Covers: a process that forks at some moment between two reads; both go on reading the same
 * stream, with positions and lock in the side page that they share. The first one may die at any
 * moment: awake, asleep, or in the middle of a read with the lock held. Checked: every byte is
 * delivered exactly once and in order, to one or the other, unless the connection was reset; the
 * survivor neither sleeps for ever nor waits for ever for the dead.
 *
 * Abstracted: a record has two bytes, a read takes one, so that a position has two parts that are
 * not written at once. The bell is the socket's; the word is as in word.pml.
 *
 *      a reader                               the other one
 *      lock (F1)                              lock: the owner is dead (F2):
 *      byte (pos, off) to the program           reset the connection, loudly
 *      off = off + 1, or pos = pos + 1,
 *        then off = 0
 *      unlock
 *
 * F1  Positions live in the side page and are touched under its lock only; what a handle keeps of
 *     them is void when the lock is taken again.
 * F2  The lock is robust. What a dead holder left is not mended, and not trusted: reset.
 * F3  A registration as sleeper (W4 of word.pml) must not outlive its process, which need not hold
 *     any lock then: each process has its own, and one whose process is dead does not count.
 *
 * Bugs, each must fail:
 *   BUG_PRIVATE_POS   positions in the process: the child has a copy (F1)
 *   BUG_NO_LOCK       no lock (F1)
 *   BUG_GO_ON         the next holder goes on from where the dead one left (F2)
 *   BUG_NOT_ROBUST    the lock of the dead stays locked (F2)
 *   BUG_DEAD_SLEEPER  the registration of the dead counts for ever (F3)
 */

#ifndef N
#define N	3	/* records, of two bytes each */
#endif

#define EMPTY	0
#define ARMED	1
#define RECORD	2

byte word[N + 1];
byte bell;		/* bytes waiting on the socket */
bool fin, reset;	/* what the kernel tells: both wake everyone */

/* the side page */
byte owner;		/* of the lock; 0: none */
bool asleep[3];		/* registered as sleeping: one a process (F3) */
#ifndef BUG_PRIVATE_POS
byte pos, off;
#endif

bool dead[3];
byte want;		/* the stream's next byte, for assertions only */

#ifdef BUG_NO_LOCK
#define LOCK	skip
#define UNLOCK	skip
#else
#define UNLOCK	owner = 0
#if defined BUG_NOT_ROBUST
#define LOCK	atomic { owner == 0 -> owner = me }
#elif defined BUG_GO_ON
#define LOCK	atomic { owner == 0 || dead[owner] -> owner = me }
#else
#define LOCK	atomic { owner == 0 || dead[owner] -> \
			if :: owner != 0 -> reset = true :: else fi; owner = me }
#endif
#endif

#ifdef BUG_DEAD_SLEEPER
#define SLEEPS(i)	asleep[i]
#else
#define SLEEPS(i)	(asleep[i] && !dead[i])
#endif

/* process 1 may die here */
#define MAY_DIE	if :: me == 1 && forked -> dead[me] = true; goto out :: true fi

proctype writer()
{
	byte p = 0, old = 0;

	do
	:: p == N || reset -> break
	:: p < N && !reset ->
		word[p + 1] = EMPTY;
		atomic { old = word[p]; word[p] = RECORD };
		if :: old == ARMED -> bell++ :: else fi;
		p++
	od;
	(want == 2 * N || reset);	/* so that FIN hides no lost wake-up */
	fin = true
}

proctype reader(byte me; bool forked; byte apos; byte aoff)
{
	byte w = 0, n = 0;
#ifdef BUG_PRIVATE_POS
	byte pos = apos, off = aoff;
#endif

	do
	:: LOCK;
		if :: reset || fin || pos == N -> UNLOCK; break :: else fi;
		n = bell;
		w = word[pos];
		if
		:: w == RECORD ->
			MAY_DIE;
			atomic { assert(want == 2 * pos + off); want++ };	/* delivered */
			MAY_DIE;
			if
			:: off == 0 -> off = 1
			:: else ->
				pos++;
				MAY_DIE;
				off = 0
			fi;
			UNLOCK
		:: w != RECORD && n > 0 && SLEEPS(3 - me) ->
			UNLOCK;				/* yield until it has woken (W4) */
			!SLEEPS(3 - me) || bell == 0 || reset || fin
		:: else ->
			bell = bell - n;
			atomic { w = word[pos]; if :: w == EMPTY -> word[pos] = ARMED :: else fi };
			MAY_DIE;
			if
			:: w == RECORD -> UNLOCK
			:: else ->
				asleep[me] = true;
				UNLOCK;
				MAY_DIE;
				bell > 0 || reset || fin;
				asleep[me] = false
			fi
		fi;
		MAY_DIE;
		if
		:: !forked -> forked = true;
#ifdef BUG_PRIVATE_POS
			run reader(2, true, pos, off)
#else
			run reader(2, true, 0, 0)
#endif
		:: true
		fi;
		n = 0; w = 0
	od;
out:	skip
}

init
{
	word[0] = ARMED;
	atomic { run writer(); run reader(1, false, 0, 0) }
}
