/* SPDX-License-Identifier: BSD-2-Clause */
/* The lock: exclusion between threads, no lost wake-up, and a thread that meets its own. */
#include <pthread.h>
#include <signal.h>
#include "lock.h"
#include "test_core_util.h"

#define THREADS 4

static struct sl_lock lock;
static uint64_t counter;
static volatile int handler_rc;
static _Atomic bool held;

static void handler(int sig)
{
	(void)sig;
	handler_rc = sl_lock(&lock);
	if (!handler_rc)
		sl_unlock(&lock);
}

/* The same, while the process has one thread and when it has more. */
static void own_lock(void)
{
	(void)signal(SIGUSR1, handler);
	assert_int_equal(sl_lock(&lock), 0);
	assert_int_equal(sl_lock(&lock), -EDEADLK);
	handler_rc = 1;
	(void)raise(SIGUSR1);
	assert_int_equal(handler_rc, -EDEADLK);
	sl_unlock(&lock);
	(void)raise(SIGUSR1);
	assert_int_equal(handler_rc, 0);
	assert_int_equal(sl_lock(&lock), 0);
	sl_unlock(&lock);
	assert_int_equal(atomic_load(&lock.word), 0);
}

static void test_own_single(void **state)
{
	(void)state;
	own_lock();
}

static void *count(void *arg)
{
	uint64_t s = (uintptr_t)arg, i, rounds = SANITIZED ? 20000 : 200000;
	int wait;

	for (i = 0; i < rounds; i++) {
		must(sl_lock(&lock) == 0);
		counter++;
		if (i % 64 == 0)
			for (wait = (int)below(&s, 3000); wait > 0; wait--)
				sl_cpu_relax();
		if (i % 1024 == 0)
			(void)usleep(1); /* the others fall asleep */
		sl_unlock(&lock);
	}
	return (void *)(uintptr_t)rounds;
}

static void test_contention(void **state)
{
	pthread_t t[THREADS];
	uint64_t all = 0;
	uintptr_t i;
	void *rounds;

	(void)state;
	(void)alarm(30);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, count, (void *)(i + 1)), 0);
	for (i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(t[i], &rounds), 0);
		all += (uintptr_t)rounds;
	}
	(void)alarm(0);
	assert_int_equal(counter, all);
	assert_int_equal(atomic_load(&lock.word), 0);
	own_lock();
}

static void *hold(void *arg)
{
	(void)arg;
	must(sl_lock(&lock) == 0);
	atomic_store(&held, true);
	(void)usleep(50000);
	sl_unlock(&lock);
	return NULL;
}

/* One that sleeps for a long holder costs no CPU and is woken. */
static void test_sleep(void **state)
{
	struct timespec a, b;
	pthread_t t;

	(void)state;
	assert_int_equal(pthread_create(&t, NULL, hold, NULL), 0);
	while (!atomic_load(&held))
		(void)usleep(100);
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
	assert_int_equal(sl_lock(&lock), 0);
	(void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
	sl_unlock(&lock);
	assert_true((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec < 20000000);
	assert_int_equal(pthread_join(t, NULL), 0);
}

static void test_reset(void **state)
{
	(void)state;
	assert_int_equal(sl_lock(&lock), 0);
	sl_lock_reset(&lock); /* what a forked child does */
	sl_tid_forget();
	assert_int_equal(sl_tid(), gettid());
	assert_int_equal(sl_lock(&lock), 0);
	sl_unlock(&lock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_single),
		cmocka_unit_test(test_contention),
		cmocka_unit_test(test_sleep),
		cmocka_unit_test(test_reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
