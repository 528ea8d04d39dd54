/*
 * word.pml - the one-word protocol, with two sleepers on the reading side
 *
 * Covers: publish, arm, close on the words of one direction; two threads of the reading side that
 * share position and receive lock and may both sleep on the same word; bell 0 (a byte on the
 * socket: it wakes everyone who polls the socket, and stays until somebody takes it out) and a
 * bell of each thread's own, which the writer may not have: then it rings 0; a thread that goes away for good, out of its sleep or after a record,
 * and leaves the rest of the stream to the other one. Checked: records come once and in order, and
 * nobody sleeps for ever, or yields for ever (the progress labels).
 *
 * Abstracted: payload (a record is its word), positions do not wrap (credit.pml), bytes on the
 * socket are bells (lanes.pml). Memory is sequentially consistent here: that payload and
 * terminator are visible before the record is the release order of W1, not something spin sees.
 *
 *      writer                                 reader, under the receive lock
 *      word+1 = EMPTY                         n = bells waiting
 *      payload                                w = word (W3)
 *      CAS word: EMPTY|ARMED(b) -> RECORD     drop n, if no other is registered (W4)
 *        (W1, W2)                             CAS word: EMPTY -> ARMED(mine) (W2)
 *        was ARMED(b): ring b                     or ARMED(another's) -> ARMED(0) (W5)
 *        was CLOSED: END in its place,        sleepers++ (W4)
 *          ring 0                           unlock; sleep; sleepers--
 *
 * W1  Terminator and payload come before the record: a reader that passes it reads them next.
 * W2  Publish and arm change the same word by read-modify-write: one of them sees the other.
 * W3  The last look of a thread that goes to sleep comes after its last draining of bells.
 * W4  Bell 0 is for everyone: it is taken out only while nobody else is registered as sleeping,
 *     otherwise the thread yields until they have woken. Registering is part of arming, under the
 *     same lock: there is no moment between them for somebody else's draining.
 * W5  A second sleeper makes the bell the one that wakes everyone.
 *
 * Bugs, each must fail:
 *   BUG_LATE_TERMINATOR  the terminator is written after the record is published (W1)
 *   BUG_ARM_STORE        arm with a plain store (W2)
 *   BUG_PUBLISH_STORE    publish with a load and a store (W2)
 *   BUG_NO_LAST_LOOK     ARMED at the first look: sleep, whatever was drained since (W3)
 *   BUG_DRAIN_OTHERS     drain while another sleeps (W4)
 *   BUG_REGISTER_LATE    register after unlocking (W4)
 *   BUG_OTHERS_BELL      sleep on a word that is armed for another's own bell (W5)
 */

#ifndef N
#define N	3	/* records */
#endif

#define GARBAGE	9	/* memory that nobody wrote yet */
#define EMPTY	3
#define RECORD	4
#define CLOSED	5
#define END	6
/* ARMED(b) is b: 0 the socket, 1 and 2 the own bell of each thread */
#define ARMED(w)	(w < 3)

byte word[N + 2];	/* the writer's, until the reader arms or closes it */
byte bell[3];		/* bell[0]: bytes waiting on the socket */
bool fin;		/* the kernel's FIN: wakes everyone, stays */

/* the reading side: its side page */
bool locked;
byte pos;		/* next word */
byte sleepers;
bool left;		/* one of the two went away */
bool ended;		/* END was consumed: the rest comes over TCP */

proctype writer()
{
	byte p = 0, old = 0;

	do
	:: p == N -> break
	:: else ->
#ifndef BUG_LATE_TERMINATOR
		word[p + 1] = EMPTY;
#endif
#ifdef BUG_PUBLISH_STORE
		old = word[p];
		if :: old == EMPTY || ARMED(old) -> word[p] = RECORD :: else fi;
#else
		atomic {
			old = word[p];
			if :: old == EMPTY || ARMED(old) -> word[p] = RECORD :: else fi
		};
#endif
#ifdef BUG_LATE_TERMINATOR
		word[p + 1] = EMPTY;
#endif
		if
		:: old == EMPTY ->
progress_write:		p++
		:: ARMED(old) -> bell[old]++; p++
		:: ARMED(old) -> bell[0]++; p++		/* it does not know that one */
		:: old == CLOSED ->
			word[p + 1] = EMPTY;
			word[p] = END;
			bell[0]++;
			break
		:: else -> assert(false)
		fi
	od;
	/* FIN only after the last byte was taken, so that it hides no lost wake-up */
	(pos == N || ended);
	fin = true
}

#ifdef BUG_DRAIN_OTHERS
#define MUST_YIELD	false
#else
#define MUST_YIELD	(sleepers > 0)
#endif

#define LOCK	atomic { !locked -> locked = true }
#define UNLOCK	locked = false

proctype reader(byte me)
{
	byte w = 0, n = 0;

	do
	:: LOCK;
		if :: pos == N || ended || fin -> UNLOCK; break :: else fi;
		n = bell[0];
		w = word[pos];
		assert(w != GARBAGE);
		if
		:: w == RECORD ->
progress_read:	pos++;
			UNLOCK
		:: w == END ->
			pos++;
			ended = true;
			UNLOCK;
			break
		:: w == EMPTY || ARMED(w) || w == CLOSED ->
			if
			:: n > 0 && MUST_YIELD ->		/* give way; they will wake (W4) */
				UNLOCK;
				goto again
			:: else ->
				atomic { bell[0] = bell[0] - n; bell[me] = 0 }
			fi;
			if
			:: true ->				/* arm */
#if defined BUG_ARM_STORE
				if :: w == EMPTY -> word[pos] = me :: else fi;
#elif defined BUG_NO_LAST_LOOK
				atomic {
					if
					:: w == EMPTY ->
						w = word[pos];
						if :: w == EMPTY -> word[pos] = me :: else fi
					:: w != EMPTY && w != me && ARMED(word[pos]) -> word[pos] = 0
					:: else
					fi
				};
#else
				atomic {
					w = word[pos];
					if
					:: w == EMPTY -> word[pos] = me
#ifndef BUG_OTHERS_BELL
					:: ARMED(w) && w != me -> word[pos] = 0
#endif
					:: else
					fi
				};
#endif
			:: w != CLOSED && pos > 0 ->		/* or leave the lane */
				atomic {
					w = word[pos];
					if :: w == EMPTY || ARMED(w) -> word[pos] = CLOSED :: else fi
				}
			fi;
			if
			:: w == RECORD || w == END -> UNLOCK; goto again
			:: else
			fi;
#ifdef BUG_REGISTER_LATE
			UNLOCK;
			sleepers++;
#else
			sleepers++;
			UNLOCK;
#endif
			if
			:: bell[0] > 0 || bell[me] > 0 || fin -> sleepers--
			:: atomic { !left -> left = true };	/* a signal, a time limit */
				sleepers--;
				goto out
			fi
		fi;
		if
		:: true
		:: atomic { !left -> left = true }; goto out	/* no more reading here */
		fi;
again:		skip
	od;
out:	skip
}

init
{
	byte i = 0;

	do :: i < N + 2 -> word[i] = GARBAGE; i++ :: else -> break od;
	word[0] = 0;		/* as attached: the reading side counts as asleep */
	atomic { run writer(); run reader(1); run reader(2) }
}
