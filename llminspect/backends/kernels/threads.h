/* Pieces of work by several threads that stay: a thread of Python's takes longer to wake than a small product. */
#pragma once
#include "vectors.h"

typedef void (*work)(const void *job, int thread, ptrdiff_t start, ptrdiff_t stop);

#ifdef _WIN32
static void in_threads(int threads, work does, const void *job, ptrdiff_t number, ptrdiff_t step) {
  (void)threads, (void)step, does(job, 0, 0, number);
}
#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

enum {
  MOST_THREADS = 256,
  WATCHED = 100000, /* Nanoseconds for which a thread without work watches for more before it sleeps. */
};

/* The work at hand. It is written while `open` is 0 and nobody is `inside`, or those who are have not yet looked. */
static struct {
  work does;
  const void *job;
  ptrdiff_t number, step;
  int threads;
  atomic_ptrdiff_t taken;
  atomic_int open, inside, turn, sleeping;
  int started;
} team;
static atomic_flag in_use = ATOMIC_FLAG_INIT;
static pthread_mutex_t waking = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t woken = PTHREAD_COND_INITIALIZER;

static inline void pause_a_little(void) {
#ifdef X86
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static long long nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void take_parts(int thread) {
  for (;;) {
    const ptrdiff_t start = atomic_fetch_add(&team.taken, team.step), stop = start + team.step;
    if (start >= team.number) return;
    team.does(team.job, thread, start, stop < team.number ? stop : team.number);
  }
}

/* Until there is another turn than the one that was seen. */
static int next_turn(int seen) {
  const long long until = nanoseconds() + WATCHED;
  do {
    for (int i = 0; i < 16; i++) {
      const int turn = atomic_load(&team.turn);
      if (turn != seen) return turn;
      pause_a_little();
    }
  } while (nanoseconds() < until);
  pthread_mutex_lock(&waking);
  atomic_fetch_add(&team.sleeping, 1);
  while (atomic_load(&team.turn) == seen) pthread_cond_wait(&woken, &waking);
  atomic_fetch_sub(&team.sleeping, 1);
  pthread_mutex_unlock(&waking);
  return atomic_load(&team.turn);
}

static void *helper(void *number) {
  const int thread = (int)(intptr_t)number;
  for (int turn = 0;;) {
    turn = next_turn(turn);
    atomic_fetch_add(&team.inside, 1);
    if (atomic_load(&team.open) && thread < team.threads) take_parts(thread);
    atomic_fetch_sub(&team.inside, 1);
  }
  return NULL;
}

/* A child process has none of the threads. */
static void forget(void) {
  team.started = 0;
  atomic_store(&team.open, 0), atomic_store(&team.inside, 0), atomic_store(&team.turn, 0), atomic_store(&team.sleeping, 0);
  pthread_mutex_init(&waking, NULL), pthread_cond_init(&woken, NULL);
  atomic_flag_clear(&in_use);
}

static void start(int threads) {
  static int registered;
  sigset_t all, before;
  pthread_t thread;
  if (team.started >= threads - 1) return;
  if (!registered) registered = !pthread_atfork(NULL, NULL, forget);
  sigfillset(&all), pthread_sigmask(SIG_SETMASK, &all, &before); /* Signals are for Python's threads. */
  while (registered && team.started < threads - 1) {
    if (pthread_create(&thread, NULL, helper, (void *)(intptr_t)(team.started + 1))) break;
    pthread_detach(thread), team.started++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* `does` for all of 0 to `number`, `step` at a time, by as many threads as come before it is done. The caller is thread 0
   and waits for nobody but who is in the middle of a part. */
static void in_threads(int threads, work does, const void *job, ptrdiff_t number, ptrdiff_t step) {
  if (threads < 2 || number <= step || atomic_flag_test_and_set(&in_use)) {
    does(job, 0, 0, number);
    return;
  }
  start(threads < MOST_THREADS ? threads : MOST_THREADS);
  team.does = does, team.job = job, team.number = number, team.step = step, team.threads = threads;
  atomic_store(&team.taken, 0), atomic_store(&team.open, 1), atomic_fetch_add(&team.turn, 1);
  if (atomic_load(&team.sleeping)) {
    pthread_mutex_lock(&waking);
    pthread_cond_broadcast(&woken);
    pthread_mutex_unlock(&waking);
  }
  take_parts(0);
  atomic_store(&team.open, 0);
  for (int i = 0; atomic_load(&team.inside); i++)
    if (i < 10000) pause_a_little();
    else sched_yield();
  atomic_flag_clear(&in_use);
}
#endif
