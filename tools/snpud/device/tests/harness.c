// SPDX-License-Identifier: MIT
#include "harness.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int t_failures;
const char *t_name = "";

static struct snpu_profile *profile;

int t_main(int argc, char **argv, const struct t_case *cases, size_t n)
{
	int bad = 0;
	size_t i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	/* nothing here may take long; a hang ends as a failure with the name of the test */
	alarm(300);
	printf("TAP version 13\n1..%zu\n", n);
	for (i = 0; i < n; i++) {
		if (argc > 1 && strcmp(argv[1], cases[i].name)) {
			printf("ok %zu - %s # SKIP not asked for\n", i + 1, cases[i].name);
			continue;
		}
		t_failures = 0;
		t_name = cases[i].name;
		printf("# start %s\n", t_name);
		cases[i].run();
		printf("%s %zu - %s\n", t_failures ? "not ok" : "ok", i + 1, cases[i].name);
		bad += !!t_failures;
	}
	return bad ? 1 : 0;
}

uint64_t t_rand(uint64_t *s)
{
	*s ^= *s << 13;
	*s ^= *s >> 7;
	*s ^= *s << 17;
	return *s;
}

/* ---- bus ---- */

static int bus_translate(void *priv, uint64_t iova, bool write, void **host, uint64_t *run)
{
	struct t_host *h = priv;
	uint64_t off = iova - T_HOST_IOVA;

	(void)write;
	if (!snpu_load_acq(&h->mapped) || off >= T_HOST_BYTES)
		return -EFAULT;
	if (h->slow_from && off >= h->slow_from) {
		*run = T_HOST_BYTES - off;
		return -EOPNOTSUPP;
	}
	*host = h->mem + off;
	*run = (h->slow_from ? h->slow_from : T_HOST_BYTES) - off;
	return 0;
}

/* A message is on its way. Returns 0 when it is answered, which may be never */
static int answer(struct t_host *h)
{
	uint32_t cancels = snpu_load_acq(&h->cancels);
	int ret = 0;

	(void)snpu_add(&h->asked, 1);
	(void)snpu_add(&h->waiting, 1);
	while (!ret && snpu_load_acq(&h->silent)) {
		snpu_futex_wait(&h->silent, 1, 100000000);
		if (snpu_load_acq(&h->cancels) != cancels)
			ret = -EAGAIN;
	}
	(void)snpu_add(&h->waiting, -1);
	return ret;
}

static void bus_cancel(void *priv)
{
	struct t_host *h = priv;

	(void)snpu_add(&h->cancels, 1);
	snpu_futex_wake(&h->silent, INT_MAX);
}

void t_answer(struct t_drv *d)
{
	snpu_store_rel(&d->host.silent, 0);
	snpu_futex_wake(&d->host.silent, INT_MAX);
}

static int bus_read(void *priv, uint64_t iova, void *buf, size_t len)
{
	struct t_host *h = priv;
	uint64_t off = iova - T_HOST_IOVA;
	int ret = answer(h);

	if (ret)
		return ret;
	if (!snpu_load_acq(&h->mapped) || off >= T_HOST_BYTES || len > T_HOST_BYTES - off)
		return -EFAULT;
	memcpy(buf, h->mem + off, len);
	return 0;
}

static int bus_write(void *priv, uint64_t iova, const void *buf, size_t len)
{
	struct t_host *h = priv;
	uint64_t off = iova - T_HOST_IOVA;
	int ret = answer(h);

	if (ret)
		return ret;
	if (!snpu_load_acq(&h->mapped) || off >= T_HOST_BYTES || len > T_HOST_BYTES - off)
		return -EFAULT;
	memcpy(h->mem + off, buf, len);
	return 0;
}

static void bus_irq(void *priv, unsigned int vector)
{
	struct t_host *h = priv;

	(void)snpu_add(&h->irqs[vector], 1);
}

static const struct snpu_bus_ops bus_ops = {
	.translate = bus_translate, .read = bus_read, .write = bus_write, .irq = bus_irq,
	.cancel = bus_cancel,
};

/* ---- machine ---- */

#define FIG(key, val, unit) \
	"\"" key "\":{\"value\":" val ",\"unit\":\"" unit \
	"\",\"tag\":\"assumed\",\"source\":\"test\"}"

static const char profile_text[] =
	"{\"version\":1,\"name\":\"test\",\"title\":\"test\",\"machine\":{"
	FIG("hosts", "4", "") "," FIG("npus_per_host", "8", "")
	"},\"npu\":{"
	FIG("dies", "2", "") "," FIG("hbm_bytes", "67108864", "B") ","
	FIG("hbm_bandwidth", "1e12", "B/s") "," FIG("flops_bf16", "1e14", "flop/s") ","
	FIG("ops_int8", "2e14", "op/s")
	"},\"fabric\":{"
	FIG("planes", "7", "") "," FIG("npu_bandwidth", "1e11", "B/s")
	"},\"device\":{"
	FIG("queues", "32", "") "," FIG("contexts", "16", "") ","
	FIG("segments", "16", "") "," FIG("imports", "16", "")
	"}}";

struct snpu_profile *t_profile(void)
{
	struct snpu_profile *p;
	char err[512];

	p = snpu_profile_parse(profile_text, "test", err, sizeof(err));
	if (!p) {
		printf("Bail out! %s\n", err);
		exit(1);
	}
	return p;
}

static struct snpu_machine *machine(struct snpu_machine_opts *o)
{
	struct snpu_machine *m;
	char err[512];

	profile = t_profile();
	o->profile = profile;
	m = snpu_machine_create(o, err, sizeof(err));
	if (!m) {
		printf("Bail out! %s\n", err);
		exit(1);
	}
	return m;
}

struct snpu_machine *t_machine(unsigned int npus, unsigned int workers, struct snpu_plog *plog)
{
	struct snpu_machine_opts o = { .npus = npus, .workers = workers, .plog = plog };

	return machine(&o);
}

struct snpu_machine *t_machine_delays(unsigned int npus, unsigned int workers, unsigned int seed)
{
	struct snpu_machine_opts o = { .npus = npus, .workers = workers, .delays = seed };

	return machine(&o);
}

void t_machine_end(struct snpu_machine *m)
{
	snpu_machine_destroy(m);
	snpu_profile_free(profile);
	profile = NULL;
}

/* ---- driver ---- */

uint64_t t_host_alloc(struct t_drv *d, uint64_t bytes, uint64_t align)
{
	uint64_t off = (d->host.next + align - 1) & ~(align - 1);

	if (off + bytes > T_HOST_BYTES) {
		printf("Bail out! test host memory is full\n");
		exit(1);
	}
	d->host.next = off + bytes;
	return T_HOST_IOVA + off;
}

void *t_host_ptr(struct t_drv *d, uint64_t iova)
{
	return d->host.mem + (iova - T_HOST_IOVA);
}

uint64_t t_hbm_alloc(struct t_drv *d, uint64_t bytes, uint64_t align)
{
	uint64_t off = (d->hbm_next + align - 1) & ~(align - 1);

	if (off + bytes > snpu_npu_hbm_size(d->npu)) {
		printf("Bail out! test HBM is full\n");
		exit(1);
	}
	d->hbm_next = off + bytes;
	return off;
}

void t_drv_setup(struct t_drv *d)
{
	memset(d->mb, 0, sizeof(*d->mb));
	memset(d->ev, 0, sizeof(*d->ev) + (sizeof(struct snpu_event_entry) << d->ev_log2));
	d->ev_cons = 0;
	snpu_npu_reg_write(d->npu, SNPU_REG_ADMIN_ADDR, 8,
			   T_HOST_IOVA + (uint64_t)((uint8_t *)d->mb - d->host.mem));
	snpu_npu_reg_write(d->npu, SNPU_REG_EVENT_ADDR, 8,
			   T_HOST_IOVA + (uint64_t)((uint8_t *)d->ev - d->host.mem));
	snpu_npu_reg_write(d->npu, SNPU_REG_EVENT_SIZE, 4, d->ev_log2);
}

void t_drv_init(struct t_drv *d, struct snpu_machine *m, unsigned int npu)
{
	struct snpu_bus bus = { &bus_ops, &d->host };
	uint64_t ring;

	memset(d, 0, sizeof(*d));
	d->m = m;
	d->npu = snpu_machine_npu(m, npu);
	d->host.mem = mmap(NULL, T_HOST_BYTES, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	d->doorbells = mmap(NULL, snpu_npu_doorbell_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
			    snpu_npu_doorbell_fd(d->npu), 0);
	if (d->host.mem == MAP_FAILED || d->doorbells == MAP_FAILED) {
		printf("Bail out! mmap\n");
		exit(1);
	}
	d->host.mapped = 1;
	/* the mailbox is not where a fuzzer that likes borders puts other things */
	d->host.next = 17 * SNPU_PAGE_SIZE;
	d->hbm = snpu_npu_hbm(d->npu);
	d->hbm_next = SNPU_PAGE_SIZE;
	d->ring_va = 0x700000000000ull;
	d->ev_log2 = 6;
	snpu_npu_set_bus(d->npu, &bus);
	d->mb = t_host_ptr(d, t_host_alloc(d, sizeof(*d->mb), 64));
	ring = sizeof(*d->ev) + (sizeof(struct snpu_event_entry) << SNPU_EVENT_LOG2_MAX);
	d->ev = t_host_ptr(d, t_host_alloc(d, ring, 4096));
	t_drv_setup(d);
}

void t_drv_end(struct t_drv *d)
{
	snpu_npu_set_bus(d->npu, NULL);
	munmap(d->host.mem, T_HOST_BYTES);
	munmap(d->doorbells, snpu_npu_doorbell_size());
}

uint32_t t_admin(struct t_drv *d, unsigned int op)
{
	struct snpu_admin_mbox *mb = d->mb;
	uint32_t status;

	mb->op = (uint16_t)op;
	mb->seq = ++d->seq;
	mb->rsp_seq = 0;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	snpu_npu_reg_write(d->npu, SNPU_REG_ADMIN_DB, 4, 1);
	if (snpu_load_acq(&mb->rsp_seq) != d->seq)
		return ~0u;
	status = mb->rsp_status;
	memcpy(d->data, mb->rsp_data, sizeof(d->data));
	memset(mb, 0, sizeof(*mb));
	return status;
}

static uint64_t pt_read(void *priv, uint64_t table, unsigned int idx)
{
	struct t_drv *d = priv;

	return ((uint64_t *)(d->hbm + table))[idx];
}

static void pt_write(void *priv, uint64_t table, unsigned int idx, uint64_t pte)
{
	struct t_drv *d = priv;

	__atomic_store_n(&((uint64_t *)(d->hbm + table))[idx], pte, __ATOMIC_RELEASE);
}

static int pt_alloc(void *priv, __u64 *table)
{
	struct t_drv *d = priv;

	*table = t_hbm_alloc(d, SNPU_PT_BYTES, SNPU_PT_BYTES);
	memset(d->hbm + *table, 0, SNPU_PT_BYTES);
	return 0;
}

static void pt_free(void *priv, __u64 table)
{
	(void)priv;
	(void)table;
}

static __u64 pt_read_op(void *priv, __u64 table, unsigned int idx)
{
	return pt_read(priv, table, idx);
}

static void pt_write_op(void *priv, __u64 table, unsigned int idx, __u64 pte)
{
	pt_write(priv, table, idx, pte);
}

static const struct snpu_pt_ops pt_ops = { pt_read_op, pt_write_op, pt_alloc, pt_free };

uint64_t t_ctx(struct t_drv *d, uint32_t ctx)
{
	uint64_t root = t_hbm_alloc(d, SNPU_PT_BYTES, SNPU_PT_BYTES);

	memset(d->hbm + root, 0, SNPU_PT_BYTES);
	d->mb->ctx.ctx = ctx;
	d->mb->ctx.root = root;
	CHECK_EQ(t_admin(d, SNPU_ADM_CTX_CREATE), SNPU_ADM_S_OK);
	return root;
}

void t_map(struct t_drv *d, uint64_t root, uint64_t va, uint64_t bytes, uint64_t leaf)
{
	int ret = snpu_pt_map(&pt_ops, d, root, va, bytes, leaf);

	CHECK(!ret, "map 0x%llx: %d", (unsigned long long)va, ret);
}

uint32_t t_inval(struct t_drv *d, uint32_t ctx, uint64_t va, uint64_t bytes)
{
	d->mb->tlb.ctx = ctx;
	d->mb->tlb.va = va;
	d->mb->tlb.bytes = bytes;
	return t_admin(d, SNPU_ADM_TLB_INVAL);
}

uint32_t t_queue(struct t_drv *d, struct t_queue *q, uint32_t id, uint32_t ctx, uint64_t root,
		 unsigned int log2, unsigned int prio)
{
	uint64_t bytes = (64ull << log2) < 4096 ? 4096 : 64ull << log2;
	uint64_t ring = t_host_alloc(d, bytes, 4096), cpl = t_host_alloc(d, 128, 128);

	memset(q, 0, sizeof(*q));
	q->d = d;
	q->id = id;
	q->entries = 1u << log2;
	q->ring = t_host_ptr(d, ring);
	q->cpl = t_host_ptr(d, cpl);
	q->db = d->doorbells + (uint64_t)id * (SNPU_DB_STRIDE / 8);
	q->ring_va = d->ring_va;
	q->cpl_addr = cpl;
	d->ring_va += bytes;
	t_map(d, root, q->ring_va, bytes, T_LEAF_HOST(ring));
	d->mb->queue.queue = id;
	d->mb->queue.ctx = ctx;
	d->mb->queue.ring_va = q->ring_va;
	d->mb->queue.cpl_addr = cpl;
	d->mb->queue.ring_log2 = (uint8_t)log2;
	d->mb->queue.prio = (uint8_t)prio;
	d->mb->queue.vector = (uint16_t)(1 + id % (SNPU_MSIX_VECTORS - 1));
	return t_admin(d, SNPU_ADM_QUEUE_CREATE);
}

uint32_t t_queue_op(struct t_queue *q, unsigned int op)
{
	q->d->mb->qid = q->id;
	return t_admin(q->d, op);
}

union snpu_pkt *t_put(struct t_queue *q, unsigned int op)
{
	union snpu_pkt *p = &q->ring[q->head++ & (q->entries - 1)];

	memset(p, 0, sizeof(*p));
	p->hdr.op = (uint8_t)op;
	return p;
}

void t_nop(struct t_queue *q)
{
	t_put(q, SNPU_OP_NOP);
}

void t_signal(struct t_queue *q, uint64_t addr, unsigned int how, uint64_t value)
{
	union snpu_pkt *p = t_put(q, SNPU_OP_SEM_SIGNAL);

	p->hdr.arg = how;
	p->sem.addr = addr;
	p->sem.value = value;
}

void t_await(struct t_queue *q, uint64_t addr, unsigned int how, uint64_t value,
	     uint64_t timeout_ns)
{
	union snpu_pkt *p = t_put(q, SNPU_OP_SEM_WAIT);

	p->hdr.arg = how;
	p->sem.addr = addr;
	p->sem.value = value;
	p->sem.timeout_ns = timeout_ns;
}

void t_copy(struct t_queue *q, uint64_t src, uint64_t dst, uint64_t bytes)
{
	union snpu_pkt *p = t_put(q, SNPU_OP_COPY);

	p->copy.src = src;
	p->copy.dst = dst;
	p->copy.bytes = bytes;
}

void t_ring(struct t_queue *q)
{
	snpu_store_rel(q->db, q->head);
	snpu_mb();
	if (snpu_load(&q->cpl->need_wake))
		snpu_npu_reg_write(q->d->npu, SNPU_REG_WAKE, 4, 1);
}

bool t_drain(struct t_queue *q)
{
	bool ok;

	ok = T_WAIT(snpu_load_acq(&q->cpl->completed) == q->head ||
		    snpu_load_acq(&q->cpl->state) >= SNPU_QSTATE_SUSPENDED);
	if (!ok)
		printf("# %s: queue %u stuck: completed %llu of %llu, state %s\n", t_name, q->id,
		       (unsigned long long)q->cpl->completed, (unsigned long long)q->head,
		       snpu_qstate_name(q->cpl->state));
	return ok && q->cpl->completed == q->head;
}

const struct snpu_event_entry *t_event(struct t_drv *d)
{
	const struct snpu_event_entry *e = &d->ev->ev[d->ev_cons & ((1u << d->ev_log2) - 1)];

	if (snpu_load_acq(&d->ev->prod) <= d->ev_cons)
		return NULL;
	CHECK_EQ(snpu_load_acq(&e->seq), (uint32_t)d->ev_cons + 1);
	d->ev_cons++;
	snpu_store_rel(&d->ev->cons, d->ev_cons);
	return e;
}
