// SPDX-License-Identifier: MIT
/* Semaphores: signal, wait, ATOMIC. */
#include "exec_priv.h"

static unsigned int sem_load(struct snpu_cur *x, uint64_t *val)
{
	unsigned int err = snpu_exec_resolve(x, x->pkt.sem.addr, 8, false, &x->sem);

	if (err)
		return err;
	if (x->sem.host) {
		*val = snpu_load_acq((uint64_t *)x->sem.host);
		return SNPU_ERR_NONE;
	}
	if (!x->w || !x->w->aside)
		return SNPU_EXEC_ASIDE;
	return (unsigned int)snpu_exec_slow(x, x->pkt.sem.addr, val, 8, false);
}

static bool sem_met(const union snpu_pkt *p, uint64_t val)
{
	return p->hdr.arg == SNPU_SEM_EQ ? val == p->sem.value : val >= p->sem.value;
}

bool snpu_exec_waits(struct snpu_cur *x)
{
	uint64_t val;

	return !sem_load(x, &val) && !sem_met(&x->pkt, val);
}

/* What the queue did before is visible before the word that is about to change */
static void release_stores(struct snpu_queue *q)
{
	if (q->nt_stores) {
		snpu_sfence();
		q->nt_stores = false;
	}
}

/* A leader that went to sleep meanwhile has seen either the new value, or is seen here */
static void wake_waiters(struct snpu_cur *x)
{
	if (!x->w->leader) {
		snpu_mb();
		if (snpu_load(&x->q->npu->m->sleeping))
			snpu_sched_kick(x->q->npu->m);
	}
}

unsigned int snpu_exec_signal(struct snpu_cur *x, uint64_t addr, uint64_t value, uint32_t how)
{
	unsigned int err = snpu_exec_resolve(x, addr, 8, true, &x->sem);
	uint64_t val = value;

	if (err)
		return err;
	if (!x->sem.host && !x->w->aside)
		return SNPU_EXEC_ASIDE;
	release_stores(x->q);
	/* atomic to all that reaches such memory: one thread for each client does */
	if (!x->sem.host) {
		if (how == SNPU_SEM_ADD) {
			err = (unsigned int)snpu_exec_slow(x, addr, &val, 8, false);
			val += value;
		}
		if (!err)
			err = (unsigned int)snpu_exec_slow(x, addr, &val, 8, true);
	} else if (how == SNPU_SEM_ADD) {
		(void)snpu_add((uint64_t *)x->sem.host, value);
	} else {
		snpu_store_rel((uint64_t *)x->sem.host, value);
	}
	wake_waiters(x);
	return err;
}

/* The new value of a word by ATOMIC; false: CAS found another one */
static bool atomic_next(const struct snpu_pkt_atomic *a, uint64_t old, uint64_t *val)
{
	*val = a->hdr.arg == SNPU_ATOMIC_ADD ? old + a->operand : a->operand;
	return a->hdr.arg != SNPU_ATOMIC_CAS || old == a->compare;
}

static unsigned int atomic_slow(struct snpu_cur *x, uint64_t *old)
{
	const struct snpu_pkt_atomic *a = &x->pkt.atomic;
	uint64_t val;
	int err;

	err = snpu_exec_slow(x, a->addr, old, 8, false);
	if (!err && atomic_next(a, *old, &val))
		err = snpu_exec_slow(x, a->addr, &val, 8, true);
	return (unsigned int)err;
}

unsigned int snpu_exec_atomic(struct snpu_cur *x)
{
	const struct snpu_pkt_atomic *a = &x->pkt.atomic;
	struct snpu_mmu_hit res;
	uint64_t old = 0, val, *word;
	unsigned int err;

	/* the result's place first: a word that was changed cannot be changed back */
	err = a->result ? snpu_exec_resolve(x, a->result, 8, true, &res) : SNPU_ERR_NONE;
	if (!err)
		err = snpu_exec_resolve(x, a->addr, 8, false, &x->sem);
	if (!err)
		err = snpu_exec_resolve(x, a->addr, 8, true, &x->sem);
	if (err)
		return err;
	if (!x->w->aside && (!x->sem.host || (a->result && !res.host)))
		return SNPU_EXEC_ASIDE;
	release_stores(x->q);
	word = (uint64_t *)x->sem.host;
	if (!word) {
		err = atomic_slow(x, &old);
	} else {
		old = snpu_load_acq(word);
		while (atomic_next(a, old, &val) &&
		       !__atomic_compare_exchange_n(word, &old, val, false, __ATOMIC_ACQ_REL,
						    __ATOMIC_ACQUIRE))
			;
	}
	if (err)
		return err;
	wake_waiters(x);
	x->cas_failed = !atomic_next(a, old, &val);
	x->work.bytes_read = 8;
	x->work.bytes_written = a->result ? 16 : 8;
	if (!a->result)
		return SNPU_ERR_NONE;
	/* a message may have ended the section since */
	if (x->w->aside)
		return (unsigned int)snpu_exec_slow(x, a->result, &old, 8, true);
	snpu_store_rel((uint64_t *)res.host, old);
	return SNPU_ERR_NONE;
}

enum snpu_step snpu_exec_wait(struct snpu_cur *x, unsigned int *err)
{
	struct snpu_queue *q = x->q;
	const struct snpu_pkt_sem *s = &x->pkt.sem;
	uint64_t val, now;

	*err = sem_load(x, &val);
	if (*err)
		return *err == SNPU_EXEC_ASIDE ? STEP_ASIDE : STEP_FAULT;
	x->work.bytes_read = 8;
	if (sem_met(&x->pkt, val)) {
		q->waiting = false;
		return STEP_RETIRED;
	}
	if (!q->waiting || q->deadline) {
		now = snpu_machine_time(q->npu->m);
		if (!q->waiting) {
			q->waiting = true;
			q->waits_host = x->sem.aperture == SNPU_APERTURE_HOST;
			q->deadline = 0;
			if (s->timeout_ns)
				q->deadline = s->timeout_ns < UINT64_MAX - now ?
					      now + s->timeout_ns : UINT64_MAX;
		} else if (now >= q->deadline) {
			x->fault_va = s->addr;
			*err = SNPU_ERR_TIMEOUT;
			return STEP_FAULT;
		}
	}
	return STEP_BLOCKED;
}
