/*
 * pair.pml - who gets a pair: offers, a fork in the middle, the broker
 *
 * Covers: the two ends of one connection are offered, paired and attached. The server that holds one
 * end forks at any moment: before it offers, with its offer out, with PAIRED in its mail or in its
 * hand, or attached. Then the child or the server closes, and the one that is left goes on. A
 * withdrawal may arrive at the broker behind the child's offer, as they are two connections. Once,
 * both ends may leave the memory lane and be promoted again. The broker may die.
 * Checked: an end of a segment is attached once, by one process, and never after it was left; where
 * nobody has anything to do any more, both ends are attached to one segment, unless the broker died
 * or the end is still held twice.
 *
 * Abstracted: bytes, lanes (both ends leave in one step), proofs that fail, limits.
 *
 *	server (parent)        broker                 child                peer
 *	OFFER 1 ------------->
 *	                       <----------------------------------------- OFFER
 *	                       PROVE ---------------------------------------->
 *	                       <----------------------------------------- PROOF
 *	      (mail) <-------- PAIRED ---------------------------------------->
 *	fork: WITHDRAW 1 ----> (P2)                                          attaches, and waits
 *	close                  <------------ OFFER
 *	                       PAIRED ------------> attaches; START both ways
 *
 * P1  An offer of a socket that is an end of a live pair, and that nobody has attached there, gets that
 *     pair. The segment says so itself. The other end need not know.
 * P2  What was withdrawn is never attached: PAIRED that comes all the same is answered by GONE.
 * P3  A socket is attached, and offered, only by a process that is the only holder. So whoever offers knows
 *     that no older holder will attach any more: it did before the fork, or never will.
 * P4  An end that was attached is not given to another offer; that waits for the other end's.
 *
 * P5  The parent's offer may be looked at behind the child's, and take its place: the child is refused, and
 *     offers again.
 *
 * Variants, each must pass:
 *   DIES               the broker dies: then it is TCP, or whatever came first
 *
 * Bugs, each must fail:
 *   BUG_NO_AGAIN       the child's offer waits for another one of the peer (P1)
 *   BUG_LATE_PAIRED    the parent attaches what it has withdrawn (P2)
 *   BUG_TWO_HOLDERS    offered and attached while two processes hold it (P3)
 *   BUG_USED_END       given again without looking whether the end was attached (P4)
 *   BUG_VOID_FOR_EVER  who is refused for another holder's offer stays on TCP (P5)
 */

#define OFFER	 1
#define WITHDRAW 2
#define PROOF	 3
#define GONE	 4
#define PROVE	 5
#define PAIRED	 6
#define REFUSED	 7

#define SEGS	4
#define NONE	0

#define PARENT	0
#define CHILD	1
#define PEER	2
#define END(who) ((who) == PEER)

/* type, number of the offer, segment */
chan to_broker[3] = [5] of { byte, byte, byte };
chan mail[3] = [5] of { byte, byte, byte };

/* of the end that the server has */
byte holders = 1;
bool forked, broker_dead;
byte left_over;		/* rounds of leaving */

/* attached[2 * segment + end]: in the segment; what is known of it otherwise */
bool attached[2 * SEGS];
byte at[3];			/* the segment that this process has attached; NONE */
byte out[3];			/* the number of the offer that is out; NONE */
byte ids[3];

#ifdef BUG_TWO_HOLDERS
#define ALONE(who)	true
#else
#define ALONE(who)	((who) == PEER || holders == 1)
#endif

inline attach(who, seg)
{
	atomic {
		assert(!attached[2 * (seg) + END(who)]);
		attached[2 * (seg) + END(who)] = true;
		at[who] = seg
	}
}

inline offer(who)
{
	atomic {
		ids[who]++;
		out[who] = ids[who];
		to_broker[who]!OFFER, ids[who], NONE
	}
}

/* One message of the broker: m, id, seg. */
inline answer(who)
{
	if
#ifndef BUG_VOID_FOR_EVER
	:: m == REFUSED && id == out[who] -> out[who] = NONE
#endif
	:: m == PROVE && id == out[who] -> to_broker[who]!PROOF, id, NONE
#ifdef BUG_LATE_PAIRED
	:: m == PAIRED && at[who] == NONE && who == PARENT -> out[who] = NONE; attach(who, seg)
#endif
	:: m == PAIRED && id == out[who] ->
		atomic {
			out[who] = NONE;
			if
			:: ALONE(who) -> attach(who, seg)
			:: else -> to_broker[who]!GONE, NONE, seg
			fi
		}
	:: else ->
		if
		:: m == PAIRED && id != out[who] -> to_broker[who]!GONE, NONE, seg
		:: else
		fi
	fi;
	m = 0; id = 0; seg = 0
}

/* Both ends have left the segment: GONE, and from the beginning. */
#define MAY_LEAVE(who) \
	((who) != PEER && left_over == 0 && at[who] != NONE && at[PEER] == at[who] && ALONE(who))

inline leave(who)
{
	left_over++;
	to_broker[who]!GONE, NONE, at[who];
	to_broker[PEER]!GONE, NONE, at[PEER];
	at[who] = NONE;
	at[PEER] = NONE
}

proctype process(byte who)
{
	byte m, id, seg;

end:	do
	:: atomic { out[who] == NONE && at[who] == NONE && ALONE(who) && ids[who] < 4 && !broker_dead ->
			offer(who) }
	:: mail[who]?m, id, seg -> answer(who)
	:: atomic { MAY_LEAVE(who) -> leave(who) }
	:: atomic { who == PARENT && !forked ->
			/* at once: fork takes all locks */
			forked = true;
			if
			:: out[who] != NONE -> to_broker[who]!WITHDRAW, out[who], NONE; out[who] = NONE
			:: else
			fi;
			holders = 2;
			at[CHILD] = at[PARENT];
			run process(CHILD) }
	:: atomic { forked && holders == 2 && who != PEER ->
			holders = 1;
			at[who] = NONE;
			goto closed }
	od;
	/* It may still have mail, which it looks at some day or never. */
closed:	skip;
end2:	do
	:: mail[who]?m, id, seg -> answer(who)
	od
}

/* What the broker has: an offer a process, and one pair. */
byte offers[3];
byte pair, made;		/* segment; the last one that was made */
bool hold[3];			/* of this pair */
bool asked;			/* PROVE is out to the first, */
byte first;

inline free_pair()
{
	pair = NONE;
	hold[PARENT] = false; hold[CHILD] = false; hold[PEER] = false
}

inline finished()
{
	if
	:: pair != NONE && !hold[PARENT] && !hold[CHILD] && !hold[PEER] -> free_pair()
	:: else
	fi
}

/* The server's end is offered by at most one: a newer offer takes the older one's place. */
#define MINE	(offers[PARENT] != NONE || offers[CHILD] != NONE)
#define WHO	(offers[CHILD] != NONE -> CHILD : PARENT)

inline match(second)
{
	if
	:: MINE && offers[PEER] != NONE && !asked ->
		asked = true;
		first = (second == PEER -> WHO : PEER);
		mail[first]!PROVE, offers[first], NONE
	:: else
	fi
}

inline make()
{
	made++;
	pair = made;
	assert(made < SEGS);
	hold[PARENT] = false; hold[CHILD] = false;
	hold[WHO] = true;
	hold[PEER] = true;
	mail[WHO]!PAIRED, offers[WHO], pair;
	mail[PEER]!PAIRED, offers[PEER], pair;
	offers[PARENT] = NONE;
	offers[CHILD] = NONE;
	offers[PEER] = NONE
}

#if defined BUG_NO_AGAIN
#define TO_BE_HAD(c)	false
#elif defined BUG_USED_END
#define TO_BE_HAD(c)	(pair != NONE)
#else
#define TO_BE_HAD(c)	(pair != NONE && !attached[2 * pair + END(c)])
#endif

inline handle(c)
{
	if
	:: m == OFFER && TO_BE_HAD(c) ->
		hold[c] = true;
		mail[c]!PAIRED, id, pair
	:: m == OFFER && !TO_BE_HAD(c) ->
		if
		:: c != PEER && offers[1 - c] != NONE ->	/* voided */
			mail[1 - c]!REFUSED, offers[1 - c], NONE;
			offers[1 - c] = NONE;
			if :: first == 1 - c -> asked = false :: else fi
		:: else
		fi;
		offers[c] = id;
		match(c)
	:: m == WITHDRAW && offers[c] == id ->
		offers[c] = NONE;
		if :: first == c -> asked = false :: else fi
	:: m == WITHDRAW && offers[c] != id ->
		hold[c] = false;
		finished()
	:: m == GONE && seg == pair ->
		hold[c] = false;
		finished()
	:: m == PROOF && asked && first == c && offers[c] == id ->
		asked = false;
		if
		:: MINE && offers[PEER] != NONE -> make()
		:: else			/* the other left meanwhile: wait for the next */
		fi
	:: else
	fi;
	m = 0; id = 0; seg = 0
}

active proctype broker()
{
	byte m, id, seg;

end:	do
	:: atomic { to_broker[PARENT]?m, id, seg -> handle(PARENT) }
	:: atomic { to_broker[CHILD]?m, id, seg -> handle(CHILD) }
	:: atomic { to_broker[PEER]?m, id, seg -> handle(PEER) }
#ifdef DIES
	:: atomic { broker_dead = true; break }
#endif
	od
}

/* Nobody has anything to do any more. */
active proctype judge()
{
	timeout ->
	assert(broker_dead || holders == 2 ||
	       (at[PEER] != NONE && (at[PEER] == at[PARENT] || at[PEER] == at[CHILD])))
}

init
{
	atomic { run process(PARENT); run process(PEER) }
}
