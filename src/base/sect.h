/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sect.h - what a signal handler must not see, and what it may leave behind
 *
 * How it works. A handler of the program can come at any instruction of ours, call us again on the
 * very socket that we are at work on, and may never come back (siglongjmp). So the handlers are
 * called by one of ours (preload/signal.c). Where that interrupts a *section* of ours (a lock is
 * held, or data are being moved) it notes the signal, has all others blocked when it returns, and
 * the program's handler is called when the section is left: at the end of the call, or where the
 * call is about to sleep. The same for a cancellation of a thread that may be cancelled anywhere
 * (PTHREAD_CANCEL_ASYNCHRONOUS): in a section it may not.
 *
 * So handlers run where locks are free and what was begun is done. TCP has it so: the kernel calls
 * no handler in the middle of recv() and send(), only when they wait or are over.
 *
 * Sections nest. What sleeps in the kernel leaves them for that time (sl_sect_pause). What it has
 * noted for others to see (that it sleeps, a reference, memory) stands in a *frame*, which is taken
 * back when the call is left in the middle: by a cancellation, or by longjmp(), which preload/
 * sees.
 *
 * What it does not do. Faults (SIGSEGV and its like) are not put off. Handlers that were not put in
 * place by libc's functions are not known: they run at once, find locks taken by their own thread
 * (lock.h), and must come back.
 */
#ifndef SL_SECT_H
#define SL_SECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "common.h"

struct sl_frame {
	struct sl_frame *up;
	void (*gone)(void *arg); /* depth is 0, no lock is held */
	void *arg;
};

struct sl_sect {
	uint32_t depth;
	uint32_t flags;
	uint32_t ran;	   /* handlers that this thread has run, */
	uint32_t ran_hard; /* and those of them without SA_RESTART */
	struct sl_frame *frames;
};

#define SL_SECT_PENDING 1u /* a signal waits for the section's end */
#define SL_SECT_ASYNC	2u /* the thread may be cancelled anywhere */

extern __thread struct sl_sect sl_sect __attribute__((tls_model("initial-exec")));

/** sl_sect_slow() - a section was entered or left, and there is something to do (preload/signal.c)
 */
extern void (*sl_sect_slow)(bool entered);

static inline __attribute__((always_inline)) void sl_sect_enter(void)
{
	if (sl_likely(sl_sect.depth++ == 0)) {
		if (sl_unlikely(sl_sect.flags))
			sl_sect_slow(true);
	}
	atomic_signal_fence(memory_order_seq_cst);
}

static inline __attribute__((always_inline)) void sl_sect_leave(void)
{
	atomic_signal_fence(memory_order_seq_cst);
	if (--sl_sect.depth == 0) {
		atomic_signal_fence(memory_order_seq_cst);
		if (sl_unlikely(sl_sect.flags))
			sl_sect_slow(false);
	}
}

/* A signal waits: do not spin any longer. */
static inline bool sl_sect_due(void)
{
	return sl_unlikely(sl_sect.flags & SL_SECT_PENDING);
}

/*
 * Before a sleep in the kernel: out of all sections, and handlers run.
 *
 * @gone: called with @arg if the call is left in the middle, before sl_sect_resume()
 * @ran: handlers that ran between two points: what would have ended a sleep in the kernel
 */
struct sl_pause {
	struct sl_frame frame;
	uint32_t depth, ran, ran_hard;
};

static inline void sl_frame_push(struct sl_frame *f, void (*gone)(void *), void *arg)
{
	f->up = sl_sect.frames;
	f->gone = gone;
	f->arg = arg;
	atomic_signal_fence(memory_order_seq_cst);
	sl_sect.frames = f;
}

static inline void sl_frame_pop(struct sl_frame *f)
{
	sl_sect.frames = f->up;
	atomic_signal_fence(memory_order_seq_cst);
}

/** sl_sect_pause() - push the frame, then leave all sections */
static inline void sl_sect_pause(struct sl_pause *p, void (*gone)(void *), void *arg)
{
	p->ran = sl_sect.ran;
	p->ran_hard = sl_sect.ran_hard;
	sl_frame_push(&p->frame, gone, arg);
	p->depth = sl_sect.depth;
	if (p->depth) {
		sl_sect.depth = 1;
		sl_sect_leave();
	}
}

/** sl_sect_resume() - awake: into the sections again, and pop the frame */
static inline void sl_sect_resume(struct sl_pause *p)
{
	if (p->depth) {
		sl_sect_enter();
		sl_sect.depth = p->depth;
	}
	sl_frame_pop(&p->frame);
}

/* Handlers ran since the pause began. */
static inline bool sl_sect_ran(const struct sl_pause *p)
{
	return sl_sect.ran != p->ran;
}

static inline bool sl_sect_ran_hard(const struct sl_pause *p)
{
	return sl_sect.ran_hard != p->ran_hard;
}

/**
 * sl_frames_gone() - take back the frames of this thread up to, and not with, @last
 * The thread is cancelled (@last is NULL), or jumps out of a handler.
 */
void sl_frames_gone(const struct sl_frame *last);

/** sl_frame_cancelled() - for pthread_cleanup_push(): the thread ends */
void sl_frame_cancelled(void *unused);

#endif
