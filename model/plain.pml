/*
 * plain.pml - a writer that publishes by plain stores while the reader does not sleep
 *
 * Covers: the reader allows it (`plain`), takes that back before it arms or closes, and the writer's window, on a
 * machine where the writer's stores become visible late: they go through a queue, and loads overtake them. The
 * words themselves are those of word.pml, with one bell and one thread a side; a sleeper may wake once for
 * another reason, with its word still armed. Checked: no store falls on ARMED or CLOSED, records come once and in order, and
 * nobody sleeps for ever.
 *
 * Abstracted: terminators (the words behind are EMPTY from the beginning), positions do not wrap. The reader's own stores are
 * visible at once: `plain` = 1 may come late without harm, and behind `plain` = 0 stands the fence.
 *
 *      writer                                 reader
 *      window = 1                             plain = 0
 *      plain = 1? (P1)                        fence for both (P2)
 *        word = RECORD                        window = 0? (P3) else look again, do not sleep
 *        window = 0                           CAS word: EMPTY -> ARMED or CLOSED
 *      else window = 0,
 *        CAS word: EMPTY|ARMED -> RECORD
 *
 * P1  The look at `plain` that counts stands inside the window.
 * P2  membarrier: at one moment all stores of the writer so far are visible, and its later loads come later.
 * P3  Who is in the window still may store; who is not has stored, or will look at `plain` and find 0.
 * P4  Allowed only when the word that was armed last is a record by now.
 *
 * Bugs, each must fail:
 *   BUG_NO_FENCE     the reader does not fence (P2)
 *   BUG_LOOK_FIRST   the writer looks before its window (P1)
 *   BUG_NO_WINDOW    the writer has none (P3)
 *   BUG_NO_WAIT      the reader does not look for it (P3)
 *   BUG_WHILE_ARMED  allowed while a word is armed (P4)
 */

#ifndef N
#define N	3	/* records, then END */
#endif

#define EMPTY	0
#define ARMED	1
#define RECORD	2
#define CLOSED	3
#define END	4
#define WINDOW	100	/* in the queue: the address of `window` */

byte word[N + 2];
bool made;		/* as created, word 0 is armed */
byte plain;		/* the reader's */
byte window;		/* the writer's */
byte bells;
chan stores = [4] of { byte, byte };	/* the writer's, not visible yet */

#define FENCED	(len(stores) == 0)

active proctype memory()
{
	byte a, v;

end:	do
	:: atomic {
		stores?a, v;
		if
		:: a == WINDOW -> window = v
		:: else ->
			assert(word[a] == EMPTY);
			word[a] = v
		fi;
		a = 0;
		v = 0
	   }
	od
}

active proctype writer()
{
	byte pos, rec;
	bool done;

	made;
	do
	:: pos > N || done -> break
	:: else ->
		rec = (pos == N -> END : RECORD);
		if
		:: plain == 1 ->
#ifndef BUG_NO_WINDOW
			stores!WINDOW, 1;
#endif
			if
#ifdef BUG_LOOK_FIRST
			:: true ->
#else
			:: plain == 1 ->
#endif
				stores!pos, rec;
				stores!WINDOW, 0;
				pos++;
				goto next
#ifndef BUG_LOOK_FIRST
			:: plain != 1 -> stores!WINDOW, 0
#endif
			fi
		:: plain != 1
		fi;
		atomic {
			FENCED;
			if
			:: word[pos] == EMPTY -> word[pos] = rec
			:: word[pos] == ARMED -> word[pos] = rec; bells++
			:: word[pos] == CLOSED -> word[pos] = END; done = true
			fi
		}
		pos++;
next:		skip
	od
}

active proctype reader()
{
	byte pos, armed, mine;	/* mine: 1 allowed; 2 taken back, the window may be open */
	bool spurious, closing;

	word[0] = ARMED;
	made = true;
	if
	:: bells > 0 -> bells--
	:: !spurious -> spurious = true
	fi;
	do
	:: word[pos] == END -> break
	:: word[pos] == RECORD ->
		pos++;
		if
#ifdef BUG_WHILE_ARMED
		:: !mine && !closing -> plain = 1; mine = 1
#else
		:: !mine && !closing && pos > armed -> plain = 1; mine = 1
#endif
		:: true
		fi
#ifdef BUG_WHILE_ARMED
	:: word[pos] == ARMED && !mine -> plain = 1; mine = 1
#endif
	:: (word[pos] == EMPTY || word[pos] == ARMED) && !closing ->
		if
		:: mine == 1 ->
			plain = 0;
#ifndef BUG_NO_FENCE
			FENCED;
#endif
			mine = 2
		:: else
		fi;
		if
#ifdef BUG_NO_WAIT
		:: true -> mine = 0
#else
		:: mine == 2 && window == 0 -> mine = 0
		:: mine == 2 && window == 1 -> goto again
		:: mine == 0
#endif
		fi;
		if
		:: atomic { word[pos] == EMPTY || word[pos] == ARMED -> word[pos] = ARMED };
			armed = pos;
			if
			:: bells > 0 -> bells--
			:: !spurious -> spurious = true
			fi
		:: atomic { word[pos] == EMPTY || word[pos] == ARMED -> word[pos] = CLOSED };
			closing = true
		:: word[pos] == RECORD || word[pos] == END
		fi;
again:		skip
	od
}
