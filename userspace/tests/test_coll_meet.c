// SPDX-License-Identifier: MIT
/*
 * How ranks meet: ranks given twice, other rank counts and settings, an id used again and again,
 * timeouts of any size, libraries of another version; and leaving under an operation.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <snpu/coll.h>

#include "tap.h"

#define DEVS	4

static struct t_dev dev[DEVS];

/**
 * struct member - a rank in a thread of its own
 * @rank: which
 * @n: of so many
 * @params: settings
 * @uid: id
 * @ret: what init_rank returned, when @back
 * @text: and why
 */
struct member {
	unsigned int dev, rank, n;
	struct snpu_coll_params params;
	struct snpu_coll_uid uid;
	struct snpu_coll *comm;
	int ret;
	int back;
	char text[512];
	pthread_t thread;
};

static void devs_open(void)
{
	unsigned int i;

	for (i = 0; i < DEVS; i++)
		NEED(!t_dev_open(&dev[i], i % snpu_count(t_snpu()), 1 << 16, SNPU_MEM_HBM));
}

static void devs_close(void)
{
	unsigned int i;

	for (i = 0; i < DEVS; i++)
		t_dev_close(&dev[i]);
}

static void *join_thread(void *arg)
{
	struct member *m = arg;

	m->ret = snpu_coll_init_rank(&m->comm, dev[m->dev].ctx, m->n, &m->uid, m->rank,
				     &m->params);
	snprintf(m->text, sizeof(m->text), "%s", m->ret ? snpu_coll_last_error() : "");
	__atomic_store_n(&m->back, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void come(struct member *m, const struct snpu_coll_uid *uid, unsigned int d,
		 unsigned int rank, unsigned int n, uint64_t timeout_ns)
{
	m->dev = d;
	m->rank = rank;
	m->n = n;
	m->uid = *uid;
	m->params.field_mask |= SNPU_COLL_PARAM_TIMEOUT;
	m->params.timeout_ns = timeout_ns;
	if (pthread_create(&m->thread, NULL, join_thread, m))
		t_fail(__FILE__, __LINE__, "no thread");
}

static bool is_back(struct member *m)
{
	return __atomic_load_n(&m->back, __ATOMIC_ACQUIRE);
}

static void refused(struct member *m, int error, const char *text)
{
	pthread_join(m->thread, NULL);
	CHECK_EQ(m->ret, error);
	CHECK_TEXT(m->text, text);
}

/* All of them came together: an all-reduce of rank + 1 on each */
static void works(struct member *const *m, unsigned int n)
{
	uint64_t pos[DEVS];
	unsigned int i;

	for (i = 0; i < n; i++) {
		pthread_join(m[i]->thread, NULL);
		if (m[i]->ret)
			t_fail(__FILE__, __LINE__, "rank %u of %u: %d %s", m[i]->rank, m[i]->n,
			       m[i]->ret, m[i]->text);
		NEED(!m[i]->ret);
	}
	for (i = 0; i < n; i++) {
		struct t_dev *d = &dev[m[i]->dev];

		*(int32_t *)d->p = (int32_t)m[i]->rank + 1;
		CHECK_EQ(snpu_coll_all_reduce(m[i]->comm, d->q, d->va, d->va + 4096, 1,
					      SNPU_DT_I32, SNPU_COLL_SUM), 0);
		CHECK_EQ(snpu_queue_submit(d->q, &pos[i]), 0);
	}
	for (i = 0; i < n; i++) {
		struct t_dev *d = &dev[m[i]->dev];

		CHECK_EQ(snpu_queue_wait(d->q, pos[i], T_LONG), 0);
		CHECK_EQ(((int32_t *)d->p)[1024], n * (n + 1) / 2);
	}
	for (i = 0; i < n; i++)
		CHECK_EQ(snpu_coll_destroy(m[i]->comm), 0);
}

/* The one of the two that is back first, which the other one does not wait for */
static struct member *first_back(struct member *a, struct member *b)
{
	uint64_t end = t_now() + T_LONG;

	while (!is_back(a) && !is_back(b) && t_now() < end)
		t_sleep_ms(1);
	return is_back(a) ? a : b;
}

static void twice(void)
{
	struct member m[4] = { 0 }, *wrong;
	struct snpu_coll_uid uid;

	devs_open();
	CHECK_EQ(snpu_coll_get_uid(&uid), 0);
	come(&m[0], &uid, 0, 0, 3, T_LONG);
	come(&m[1], &uid, 1, 1, 3, T_LONG);
	come(&m[2], &uid, 2, 1, 3, T_LONG);
	wrong = first_back(&m[1], &m[2]);
	refused(wrong, -EEXIST, "rank 1 of 3 has come already");
	come(&m[3], &uid, 3, 2, 3, T_LONG);
	works((struct member *[]){ &m[0], wrong == &m[1] ? &m[2] : &m[1], &m[3] }, 3);

	memset(m, 0, sizeof(m));
	CHECK_EQ(snpu_coll_get_uid(&uid), 0);
	come(&m[0], &uid, 0, 0, 2, T_LONG);
	come(&m[1], &uid, 1, 0, 2, T_LONG);
	wrong = first_back(&m[0], &m[1]);
	refused(wrong, -EEXIST, "rank 0 of 2 has come already");
	come(&m[2], &uid, 2, 1, 2, T_LONG);
	works((struct member *[]){ wrong == &m[0] ? &m[1] : &m[0], &m[2] }, 2);
	devs_close();
}

static void counts(void)
{
	struct member m[5] = { 0 };
	struct snpu_coll_uid uid;

	devs_open();
	CHECK_EQ(snpu_coll_get_uid(&uid), 0);
	come(&m[0], &uid, 0, 0, 2, T_LONG);
	come(&m[1], &uid, 1, 1, 4, T_LONG);
	refused(&m[1], -EINVAL, "rank 1 of 4 beside a communicator of 2");
	come(&m[2], &uid, 2, 3, 4, T_LONG);
	refused(&m[2], -EINVAL, "rank 3 of 4 beside a communicator of 2");
	come(&m[3], &uid, 3, 1, 2, T_LONG);
	works((struct member *[]){ &m[0], &m[3] }, 2);

	memset(m, 0, sizeof(m));
	CHECK_EQ(snpu_coll_get_uid(&uid), 0);
	come(&m[0], &uid, 0, 0, 4, T_LONG);
	come(&m[1], &uid, 1, 1, 2, T_LONG);
	refused(&m[1], -EINVAL, "rank 1 of 2 beside a communicator of 4");
	come(&m[2], &uid, 1, 1, 4, T_LONG);
	come(&m[3], &uid, 2, 2, 4, T_LONG);
	come(&m[4], &uid, 3, 3, 4, T_LONG);
	works((struct member *[]){ &m[0], &m[2], &m[3], &m[4] }, 4);
	devs_close();
}

static void settings(void)
{
	struct member m[4] = { 0 };
	struct snpu_coll_uid uid;

	devs_open();
	CHECK_EQ(snpu_coll_get_uid(&uid), 0);
	m[1].params = (struct snpu_coll_params){ .field_mask = SNPU_COLL_PARAM_SLOTS, .slots = 8 };
	m[2].params = (struct snpu_coll_params){ .field_mask = SNPU_COLL_PARAM_SLOT,
						 .slot_bytes = 1 << 20 };
	come(&m[0], &uid, 0, 0, 2, T_LONG);
	come(&m[1], &uid, 1, 1, 2, T_LONG);
	refused(&m[1], -EINVAL, "8 slots of 0 bytes, but rank 0 has algo 0, 4 slots of 0");
	come(&m[2], &uid, 2, 1, 2, T_LONG);
	refused(&m[2], -EINVAL, "4 slots of 1048576 bytes, but rank 0");
	/* how long a rank waits is its own business */
	come(&m[3], &uid, 3, 1, 2, 2 * T_LONG);
	works((struct member *[]){ &m[0], &m[3] }, 2);
	devs_close();
}

/* What is said when not all come */
static void late(void)
{
	struct member m[3] = { 0 };
	struct snpu_coll_uid uid;

	devs_open();
	CHECK_EQ(snpu_coll_get_uid(&uid), 0);
	come(&m[0], &uid, 0, 0, 4, 2 * T_SEC);
	come(&m[1], &uid, 1, 2, 4, T_LONG);
	come(&m[2], &uid, 2, 3, 5, T_LONG);
	refused(&m[2], -EINVAL, "rank 3 of 5 beside a communicator of 4");
	refused(&m[0], -ETIMEDOUT, "rank 0 of 4: 2 of 4 ranks came; missing: 1, 3; rank 3 of 5 was");
	refused(&m[1], -ECONNRESET, "rank 2 of 4: rank 0 has gone");
	memset(m, 0, sizeof(m));
	CHECK_EQ(snpu_coll_get_uid(&uid), 0);
	come(&m[0], &uid, 0, 0, 3, 3 * T_SEC);
	come(&m[1], &uid, 1, 1, 3, T_SEC);
	refused(&m[1], -ETIMEDOUT, "rank 1 of 3: 2 of 3 ranks came; missing: 2");
	/* it has its seat until rank 0 gives up */
	come(&m[2], &uid, 2, 1, 3, T_LONG);
	refused(&m[2], -EEXIST, "rank 1 of 3 has come already");
	refused(&m[0], -ETIMEDOUT, "rank 0 of 3: 2 of 3 ranks came; missing: 2");
	devs_close();
}

/* ---- an id again ---- */

#define ROUNDS	(t_direct() ? 300u : 60u)

static unsigned int pauses;
static int stop;

static void *rounds(void *arg)
{
	struct member *m = arg;
	unsigned int seed = m->rank + 1, i;
	uint64_t pos;

	for (i = 0; i < ROUNDS && !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++) {
		struct t_dev *d = &dev[m->dev];

		if (pauses && !(rand_r(&seed) % 3))
			usleep((unsigned int)rand_r(&seed) % pauses);
		m->ret = snpu_coll_init_rank(&m->comm, d->ctx, m->n, &m->uid, m->rank, &m->params);
		if (m->ret)
			break;
		if (i % 16 == 0) {
			*(int32_t *)d->p = 1;
			m->ret = snpu_coll_all_reduce(m->comm, d->q, d->va, d->va + 4096, 1,
						      SNPU_DT_I32, SNPU_COLL_SUM);
			if (!m->ret)
				m->ret = snpu_queue_submit(d->q, &pos);
			if (!m->ret)
				m->ret = snpu_queue_wait(d->q, pos, T_LONG);
			if (m->ret || ((int32_t *)d->p)[1024] != (int32_t)m->n)
				break;
		}
		snpu_coll_destroy(m->comm);
	}
	if (i < ROUNDS) {
		snprintf(m->text, sizeof(m->text), "round %u: %d %s", i, m->ret,
			 snpu_coll_last_error());
		__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void again(void)
{
	static const unsigned int slow[] = { 0, 3000 };
	struct member m[DEVS];
	unsigned int i, k;

	devs_open();
	for (k = 0; k < 2; k++) {
		memset(m, 0, sizeof(m));
		pauses = slow[k];
		stop = 0;
		for (i = 0; i < DEVS; i++) {
			m[i].dev = m[i].rank = i;
			m[i].n = DEVS;
			m[i].params = (struct snpu_coll_params){
				.field_mask = SNPU_COLL_PARAM_TIMEOUT, .timeout_ns = T_LONG,
			};
			CHECK_EQ(snpu_coll_uid_of_name("job 17", &m[i].uid), 0);
			CHECK_EQ(pthread_create(&m[i].thread, NULL, rounds, &m[i]), 0);
		}
		for (i = 0; i < DEVS; i++) {
			pthread_join(m[i].thread, NULL);
			if (*m[i].text)
				t_fail(__FILE__, __LINE__, "rank %u, %s", i, m[i].text);
		}
	}
	devs_close();
}

/* ---- timeouts, and leaving under an operation ---- */

static void *destroy_thread(void *arg)
{
	snpu_coll_destroy(arg);
	return NULL;
}

/* A rank is destroyed under its operation, which waits for the other one */
static void forever(void)
{
	const uint64_t timeouts[] = {
		/* the last deadline there is, but for what is added to it */
		SNPU_FOREVER - t_now() - 20 * T_SEC, SNPU_FOREVER - t_now() - 100 * T_MS,
		0, SNPU_FOREVER, SNPU_FOREVER - 1, SNPU_FOREVER - T_SEC, 1ull << 63, INT64_MAX,
		INT64_MAX - 1000, 1ull << 62, SNPU_FOREVER / 1000,
	};
	struct snpu_coll_uid uid;
	struct member m[2];
	pthread_t leaver;
	uint64_t pos[2];
	unsigned int i, k;

	devs_open();
	for (k = 0; k < sizeof(timeouts) / sizeof(*timeouts); k++) {
		memset(m, 0, sizeof(m));
		CHECK_EQ(snpu_coll_get_uid(&uid), 0);
		come(&m[1], &uid, 1, 1, 2, timeouts[k]);
		t_sleep_ms(5);
		come(&m[0], &uid, 0, 0, 2, timeouts[k]);
		for (i = 0; i < 2; i++) {
			pthread_join(m[i].thread, NULL);
			if (m[i].ret)
				t_fail(__FILE__, __LINE__, "timeout %#llx: rank %u: %d %s",
				       (unsigned long long)timeouts[k], i, m[i].ret, m[i].text);
			NEED(!m[i].ret);
		}
		for (i = 0; i < 2; i++) {
			*(int32_t *)dev[i].p = 3;
			CHECK_EQ(snpu_coll_all_reduce(m[i].comm, dev[i].q, dev[i].va,
						      dev[i].va + 4096, 1, SNPU_DT_I32,
						      SNPU_COLL_SUM), 0);
			if (i)
				break;
			CHECK_EQ(snpu_queue_submit(dev[0].q, &pos[0]), 0);
			CHECK_EQ(pthread_create(&leaver, NULL, destroy_thread, m[0].comm), 0);
			t_sleep_ms(20);
		}
		CHECK_EQ(snpu_queue_submit(dev[1].q, &pos[1]), 0);
		for (i = 0; i < 2; i++) {
			CHECK_EQ(snpu_queue_wait(dev[i].q, pos[i], T_LONG), 0);
			CHECK_EQ(((int32_t *)dev[i].p)[1024], 6);
		}
		pthread_join(leaver, NULL);
		CHECK_EQ(snpu_coll_destroy(m[1].comm), 0);
	}
	devs_close();
}

/* The other rank never comes: the queue says TIMEOUT, whichever rank destroys the communicator */
static void destroyed(void)
{
	struct snpu_coll_params p = { .field_mask = SNPU_COLL_PARAM_TIMEOUT,
				      .timeout_ns = 300 * T_MS };
	struct snpu_coll *comm[2];
	struct snpu_error err;
	uint64_t pos;

	devs_open();
	NEED(!snpu_coll_init_all(comm, (struct snpu_ctx *[]){ dev[0].ctx, dev[1].ctx }, 2, &p));
	CHECK_EQ(snpu_coll_all_reduce(comm[0], dev[0].q, dev[0].va, dev[0].va, 1, SNPU_DT_I32,
				      SNPU_COLL_SUM), 0);
	CHECK_EQ(snpu_queue_submit(dev[0].q, &pos), 0);
	CHECK_EQ(snpu_coll_destroy(comm[0]), 0);
	CHECK_EQ(snpu_queue_wait(dev[0].q, pos, T_LONG), -EIO);
	CHECK_EQ(snpu_queue_error(dev[0].q, &err, sizeof(err)), 0);
	CHECK_EQ(err.code, SNPU_ERR_TIMEOUT);
	CHECK_EQ(snpu_coll_async_error(comm[1]), -ETIMEDOUT);
	CHECK_EQ(snpu_coll_destroy(comm[1]), 0);

	/* one that was never submitted does not keep the rank for ever */
	NEED(!snpu_coll_init_all(comm, (struct snpu_ctx *[]){ dev[2].ctx, dev[3].ctx }, 2, &p));
	CHECK_EQ(snpu_coll_all_reduce(comm[0], dev[2].q, dev[2].va, dev[2].va, 1, SNPU_DT_I32,
				      SNPU_COLL_SUM), 0);
	CHECK_EQ(snpu_coll_destroy(comm[0]), 0);
	CHECK_EQ(snpu_coll_async_error(comm[1]), -ETIMEDOUT);
	CHECK_EQ(snpu_coll_destroy(comm[1]), 0);
	devs_close();
}

/* ---- what is no place of this library ---- */

/* A segment of the name that rank 1 of @uid looks for, with @magic at its begin */
static void publish(const struct snpu_coll_uid *uid, const char *magic, struct snpu_mem **mem)
{
	struct snpu_coll_params p = { .field_mask = SNPU_COLL_PARAM_TIMEOUT, .timeout_ns = 1 };
	struct snpu_coll *c;
	char name[64] = "";
	const char *at;
	void *ptr;

	CHECK_EQ(snpu_coll_init_rank(&c, dev[1].ctx, 2, uid, 1, &p), -ETIMEDOUT);
	at = strstr(snpu_coll_last_error(), "coll-");
	NEED(at);
	snprintf(name, sizeof(name), "%.37s", at);
	NEED(!snpu_mem_alloc(dev[0].ctx, 1 << 16, SNPU_MEM_HBM | SNPU_MEM_CONTIG, mem));
	NEED(!snpu_mem_map(*mem, &ptr));
	memcpy(ptr, magic, 8);
	CHECK_EQ(snpu_seg_export(*mem, SNPU_SEG_READ | SNPU_SEG_WRITE, name, NULL), 0);
}

static void versions(void)
{
	static const struct { const char *magic, *text; } other[] = {
		{ "snucoll2", "rank 0 has another libsnpu_coll: meetings of version 2, here 3" },
		{ "snucoll9", "rank 0 has another libsnpu_coll: meetings of version 9, here 3" },
		{ "01234567", "the segment of that name is no meeting place" },
	};
	struct snpu_coll_params p = { .field_mask = SNPU_COLL_PARAM_TIMEOUT,
				      .timeout_ns = T_LONG };
	struct snpu_coll_uid uid;
	struct snpu_coll *c;
	struct snpu_mem *mem;
	unsigned int i;

	devs_open();
	for (i = 0; i < sizeof(other) / sizeof(*other); i++) {
		CHECK_EQ(snpu_coll_get_uid(&uid), 0);
		publish(&uid, other[i].magic, &mem);
		CHECK_EQ(snpu_coll_init_rank(&c, dev[1].ctx, 2, &uid, 1, &p), -EPROTO);
		CHECK_TEXT(snpu_coll_last_error(), other[i].text);
		CHECK_EQ(snpu_coll_init_rank(&c, dev[2].ctx, 2, &uid, 0, &p), -EEXIST);
		CHECK_EQ(snpu_mem_free(mem), 0);
	}
	devs_close();
}

int main(void)
{
	static const struct t_case cases[] = {
		{ "a rank comes twice", twice, T_BOTH },
		{ "other rank counts", counts, T_BOTH },
		{ "other settings", settings, T_BOTH },
		{ "not all ranks come", late, T_BOTH },
		{ "an id is used again and again", again, T_BOTH },
		{ "timeouts of any size; leaving under an operation", forever, T_BOTH },
		{ "leaving under an operation that never ends", destroyed, T_BOTH },
		{ "meetings of another version", versions, T_BOTH },
	};

	return t_main(cases, sizeof(cases) / sizeof(*cases));
}
