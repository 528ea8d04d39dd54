/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * signal.c - the program's signal handlers, called by one of ours; jumps out of them; cancellation
 * anywhere
 *
 * How it works. What sections and frames are is told in sect.h. Each handler that the program puts
 * in place by a function of libc is entered in a table, and the kernel gets ours, with the
 * program's flags and mask. The program sees its own again when it asks. In a section ours notes
 * the signal and has the interrupted code go on with all such signals blocked; the end of the
 * section calls the handler with the mask that it would have had. On the alternate stack it is the
 * kernel that has to put it: there the signal is sent again, behind those of its number that wait
 * by then.
 *
 * SA_RESETHAND is not given to the kernel, which would forget the handler when it calls ours: done
 * here.
 *
 * A jump out of a handler is seen in longjmp(): frames that lie below the place that it goes to are
 * taken back. For that the stack pointer in the buffer has to be known. Where its form is another
 * one than thought nothing is done. Calls that have no frames, as they went straight through, can only be
 * of a process with one thread: they are over when that has left all handlers.
 */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>
#include "preload.h"
#include "sys.h"

#define NSIGNALS 65

static struct {
	_Atomic(uintptr_t) fn;
	_Atomic uint32_t flags;
	_Atomic uint64_t mask;
} table[NSIGNALS];

/*
 * The signals that ever had a handler: only these are blocked. One that is ignored by default, as
 * SIGCHLD, is not ignored where it is blocked, and then interrupts another thread's poll().
 */
static _Atomic uint64_t handled;

static struct sl_lock table_lock;

/* The signal that a section of this thread has put off. */
static __thread struct {
	siginfo_t si;
	uint64_t mask; /* of the interrupted code */
	gregset_t regs;
} held __attribute__((tls_model("initial-exec")));

/* Handlers that this thread is in, and the place on the stack of the first of them. */
static __thread struct {
	uint32_t depth;
	void *first;
} within __attribute__((tls_model("initial-exec")));

static uint64_t bit(int sig)
{
	return 1ull << (sig - 1);
}

/* Faults, which cannot wait; and what libc keeps for itself. */
static bool known(int sig)
{
	return sig > 0 && sig < NSIGNALS && sig != SIGSEGV && sig != SIGBUS && sig != SIGFPE &&
	       sig != SIGILL && sig != SIGTRAP && sig != SIGSYS && sig != SIGKILL &&
	       sig != SIGSTOP && (sig < 32 || sig >= SIGRTMIN);
}

static void set_mask(uint64_t mask)
{
	(void)sl_sys6(SYS_rt_sigprocmask, SIG_SETMASK, (long)&mask, 0, sizeof(mask), 0, 0);
}

/* What the kernel has of it; the rest of libc's sigset_t may not be touched. */
static uint64_t *mask_of(ucontext_t *uc)
{
	return (uint64_t *)(void *)&uc->uc_sigmask;
}

static void send_again(const siginfo_t *si)
{
	(void)sl_sys6(SYS_rt_tgsigqueueinfo, getpid(), (long)sl_tid(), si->si_signo, (long)si, 0,
		      0);
}

static void call(int sig, siginfo_t *si, void *uc)
{
	void (*fn)(int, siginfo_t *, void *) =
		(void (*)(int, siginfo_t *, void *))atomic_load(&table[sig].fn);
	uint32_t flags = atomic_load(&table[sig].flags);
	struct sigaction dfl = {.sa_handler = SIG_DFL};

	/*
	 * There is none any more, and yet the kernel has ours: a runtime (Go's) has read it from the kernel, and put it
	 * back past libc. What the program has said last holds.
	 */
	if (sl_unlikely((uintptr_t)fn == (uintptr_t)SIG_IGN))
		return;
	if (sl_unlikely(!fn)) {
		(void)REAL(sigaction)(sig, &dfl, NULL);
		send_again(si);
		return;
	}
	if (flags & SA_RESETHAND)
		(void)REAL(sigaction)(sig, &dfl, NULL);
	sl_sect.ran++;
	if (!(flags & SA_RESTART))
		sl_sect.ran_hard++;
	if (!within.depth++)
		within.first = __builtin_frame_address(0);
	fn(sig, si, uc);
	within.depth--;
}

static void on_signal(int sig, siginfo_t *si, void *context)
{
	ucontext_t *uc = context;

	if (sl_likely(!sl_sect.depth)) {
		call(sig, si, context);
		return;
	}
	if (sl_sect.flags & SL_SECT_PENDING) {
		send_again(si); /* the one before is just being noted, below */
	} else {
		sl_sect.flags |= SL_SECT_PENDING;
		atomic_signal_fence(memory_order_seq_cst);
		held.si = *si;
		held.si.si_signo = sig;
		held.mask = *mask_of(uc);
		memcpy(held.regs, uc->uc_mcontext.gregs, sizeof(held.regs));
	}
	*mask_of(uc) |= atomic_load(&handled);
}

/* Would the kernel change to the alternate stack for it? */
static bool other_stack(int sig)
{
	stack_t st;

	return (atomic_load(&table[sig].flags) & SA_ONSTACK) &&
	       sl_sys(SYS_sigaltstack, 0, &st, 0) == 0 &&
	       !(st.ss_flags & (SS_DISABLE | SS_ONSTACK));
}

static void run_held(void)
{
	siginfo_t si = held.si;
	uint64_t mask = held.mask, more;
	int sig = si.si_signo, saved = errno;
	ucontext_t uc;

	if (other_stack(sig)) {
		sl_sect.flags &= ~SL_SECT_PENDING;
		send_again(&si);
		set_mask(mask);
		errno = saved;
		return;
	}
	memset(&uc, 0, sizeof(uc));
	memcpy(uc.uc_mcontext.gregs, held.regs, sizeof(held.regs));
	*mask_of(&uc) = mask;
	sl_sect.flags &= ~SL_SECT_PENDING;
	more = atomic_load(&table[sig].mask);
	if (!(atomic_load(&table[sig].flags) & SA_NODEFER))
		more |= bit(sig);
	set_mask(mask | more);
	call(sig, &si, &uc);
	set_mask(*mask_of(&uc)); /* where the handler has put another one, that */
	errno = saved;
}

static void slow(bool entered)
{
	int old;

	if (entered) {
		if (sl_sect.flags & SL_SECT_ASYNC)
			(void)REAL(pthread_setcanceltype)(PTHREAD_CANCEL_DEFERRED, &old);
		return;
	}
	if (sl_sect.flags & SL_SECT_PENDING)
		run_held();
	if (sl_sect.flags & SL_SECT_ASYNC)
		(void)REAL(pthread_setcanceltype)(PTHREAD_CANCEL_ASYNCHRONOUS, &old);
}

/* --- what the program puts in place --- */

static bool is_ours(const struct sigaction *a)
{
	return (a->sa_flags & SA_SIGINFO) && a->sa_sigaction == on_signal;
}

static bool is_function(const struct sigaction *a)
{
	return (a->sa_flags & SA_SIGINFO) ||
	       (a->sa_handler != SIG_DFL && a->sa_handler != SIG_IGN && a->sa_handler != SIG_ERR);
}

struct entry {
	uintptr_t fn;
	uint32_t flags;
	uint64_t mask;
};

static struct entry entry_of(int sig)
{
	return (struct entry){atomic_load(&table[sig].fn), atomic_load(&table[sig].flags),
			      atomic_load(&table[sig].mask)};
}

static void enter(int sig, struct entry e)
{
	atomic_store(&table[sig].fn, e.fn);
	atomic_store(&table[sig].flags, e.flags);
	atomic_store(&table[sig].mask, e.mask);
}

/* Enter the program's handler; @a becomes ours. */
static void wrap(int sig, struct sigaction *a)
{
	struct entry e = {(uintptr_t)a->sa_sigaction, (uint32_t)a->sa_flags, 0};

	memcpy(&e.mask, &a->sa_mask, sizeof(e.mask));
	enter(sig, e);
	atomic_fetch_or(&handled, bit(sig));
	a->sa_sigaction = on_signal;
	a->sa_flags = (a->sa_flags | SA_SIGINFO) & ~(int)SA_RESETHAND;
}

static void unwrap(struct sigaction *a, const struct entry *e)
{
	const uint32_t own = SA_SIGINFO | SA_RESETHAND;

	if (!is_ours(a))
		return;
	a->sa_sigaction = (void (*)(int, siginfo_t *, void *))e->fn;
	a->sa_flags = (int)(((uint32_t)a->sa_flags & ~own) | (e->flags & own));
}

SL_EXPORT int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction now;
	struct entry before;
	int rc, locked;

	if (!known(sig) || !sl_live)
		return REAL(sigaction)(sig, act, old);
	locked = sl_lock(&table_lock) == 0;
	before = entry_of(sig);
	if (act && is_function(act) && !sl_foreign()) {
		now = *act;
		wrap(sig, &now);
		act = &now;
	}
	rc = REAL(sigaction)(sig, act, old);
	if (rc < 0)
		enter(sig, before);
	else if (old)
		unwrap(old, &before);
	if (locked)
		sl_unlock(&table_lock);
	return rc;
}
SL_ALIAS(__sigaction, sigaction);

/* One of libc's other functions has changed something. */
static void look_again(int sig)
{
	struct sigaction a;
	struct entry e;

	if (sl_foreign() || REAL(sigaction)(sig, NULL, &a) < 0 || !is_function(&a))
		return;
	if (is_ours(&a)) {
		e = entry_of(sig);
		e.flags = (e.flags & ~(uint32_t)SA_RESTART) | ((uint32_t)a.sa_flags & SA_RESTART);
		enter(sig, e);
		return;
	}
	wrap(sig, &a);
	(void)REAL(sigaction)(sig, &a, NULL);
}

static __sighandler_t set_by(__sighandler_t (*real)(int, __sighandler_t), int sig,
			     __sighandler_t handler)
{
	struct entry before;
	__sighandler_t old;
	int locked;

	if (!known(sig) || !sl_live)
		return real(sig, handler);
	locked = sl_lock(&table_lock) == 0;
	before = entry_of(sig);
	old = real(sig, handler);
	if (old != SIG_ERR)
		look_again(sig);
	if (old == (__sighandler_t)(uintptr_t)on_signal)
		old = (__sighandler_t)before.fn;
	if (locked)
		sl_unlock(&table_lock);
	return old;
}

SL_EXPORT __sighandler_t signal(int sig, __sighandler_t handler)
{
	return set_by(REAL(signal), sig, handler);
}
SL_ALIAS(bsd_signal, signal);
SL_ALIAS(ssignal, signal);

SL_EXPORT __sighandler_t sysv_signal(int sig, __sighandler_t handler)
{
	return set_by(REAL(sysv_signal), sig, handler);
}
SL_ALIAS(__sysv_signal, sysv_signal);

SL_EXPORT __sighandler_t sigset(int sig, __sighandler_t handler)
{
	return set_by(REAL(sigset), sig, handler);
}

SL_EXPORT int siginterrupt(int sig, int flag)
{
	int rc = REAL(siginterrupt)(sig, flag);

	if (rc == 0 && known(sig) && sl_live)
		look_again(sig);
	return rc;
}

/* --- jumps --- */

#ifdef __x86_64__
static bool jumps_known;

/* As libc keeps it: rotated, and combined with a secret of the process. */
static uintptr_t target_of(const struct __jmp_buf_tag *env)
{
	uintptr_t sp = (uintptr_t)env->__jmpbuf[6];

	__asm__("rorq $17, %0\n\txorq %%fs:0x30, %0" : "+r"(sp) : : "cc");
	return sp;
}

static __attribute__((noinline)) void learn_jumps(void)
{
	uintptr_t here = (uintptr_t)__builtin_frame_address(0);
	jmp_buf env;

	if (_setjmp(env))
		return;
	jumps_known = here - target_of(env) < 4096;
}

/* A frame on another stack than the one that the jump stays on is not concerned. */
static bool left_behind(const void *f, uintptr_t sp)
{
	uintptr_t at = (uintptr_t)f;
	stack_t st;

	if (at >= sp)
		return false;
	if (sl_sys(SYS_sigaltstack, 0, &st, 0) < 0 || !(st.ss_flags & SS_ONSTACK) ||
	    sp - (uintptr_t)st.ss_sp >= st.ss_size)
		return true;
	return at - (uintptr_t)st.ss_sp < st.ss_size;
}

static void jumping(const struct __jmp_buf_tag *env)
{
	struct sl_frame *f = sl_sect.frames, *last = f;
	uintptr_t sp;

	if (sl_likely(!f && !sl_sect.depth && !within.depth))
		return;
	sl_sect.depth = 0;
	if (!jumps_known)
		return;
	sp = target_of(env);
	for (; f; f = f->up)
		if (left_behind(f, sp))
			last = f->up;
	if (last != sl_sect.frames)
		sl_frames_gone(last);
	if (within.depth && !sl_sect.frames && left_behind(within.first, sp)) {
		within.depth = 0;
		sl_young_abandoned();
	}
}
#else
static void learn_jumps(void)
{
}

static void jumping(const struct __jmp_buf_tag *env)
{
	(void)env;
}
#endif

#define JUMP(name)                                                                                 \
	SL_EXPORT void name(struct __jmp_buf_tag env[1], int val)                                  \
	{                                                                                          \
		jumping(env);                                                                      \
		REAL(name)(env, val);                                                              \
		__builtin_unreachable();                                                           \
	}

void __longjmp_chk(struct __jmp_buf_tag env[1], int val) __attribute__((noreturn));

JUMP(longjmp)
JUMP(_longjmp)
JUMP(siglongjmp)
JUMP(__longjmp_chk)

/* --- cancellation --- */

SL_EXPORT int pthread_setcanceltype(int type, int *old)
{
	int rc = REAL(pthread_setcanceltype)(type, old);

	if (rc)
		return rc;
	if (type == PTHREAD_CANCEL_ASYNCHRONOUS)
		sl_sect.flags |= SL_SECT_ASYNC;
	else
		sl_sect.flags &= ~SL_SECT_ASYNC;
	return 0;
}

/* --- fork --- */

static __thread uint64_t before_fork __attribute__((tls_model("initial-exec")));

/* A signal that is put off would be the child's, too: put it off in the kernel, which does not copy
 * it. */
void sl_signal_before_fork(void)
{
	uint64_t set = atomic_load(&handled);

	(void)sl_sys6(SYS_rt_sigprocmask, SIG_BLOCK, (long)&set, (long)&before_fork, sizeof(set), 0,
		      0);
}

void sl_signal_after_fork(bool child)
{
	if (child) {
		sl_sect.depth = 0;
		sl_lock_reset(&table_lock);
	}
	set_mask(before_fork);
}

void sl_signal_init(void)
{
	learn_jumps();
	sl_sect_slow = slow;
}
