// SPDX-License-Identifier: MIT
/*
 * What Open MPI makes of the same all-reduce on the same machine: N ranks, fp32 sum, in wall-clock
 * time, every result compared with one computed here. Built by bench.sh, in the bench layer only.
 *
 * usage: mpirun -n RANKS peer_mpi BYTES ITERATIONS WARMUP
 */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Small integers: exact in fp32 in whatever order they are added, up to 2^24 */
static float element(uint64_t rank, uint64_t i)
{
	return (float)((rank * 8191 + i * 7) % 251);
}

static uint64_t check(const float *recv, uint64_t count, int ranks)
{
	uint64_t i, wrong = 0, period = 251;
	float want[251];
	int r;

	for (i = 0; i < period; i++) {
		want[i] = 0;
		for (r = 0; r < ranks; r++)
			want[i] += element((uint64_t)r, i);
	}
	for (i = 0; i < count; i++)
		wrong += recv[i] != want[i % period];
	return wrong;
}

int main(int argc, char **argv)
{
	uint64_t bytes = argc > 1 ? strtoull(argv[1], NULL, 0) : 4194304, count, i, wrong, all = 0;
	int iters = argc > 2 ? atoi(argv[2]) : 3, warmup = argc > 3 ? atoi(argv[3]) : 1;
	float *send, *recv;
	int rank, ranks, k;
	double start = 0;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	count = bytes / sizeof(*send);
	send = malloc(bytes);
	recv = malloc(bytes);
	if (!send || !recv || iters < 1 || warmup < 0)
		MPI_Abort(MPI_COMM_WORLD, 2);
	for (i = 0; i < count; i++) {
		send[i] = element((uint64_t)rank, i);
		recv[i] = -1;
	}
	for (k = 0; k < warmup + iters; k++) {
		if (k == warmup) {
			MPI_Barrier(MPI_COMM_WORLD);
			start = MPI_Wtime();
		}
		MPI_Allreduce(send, recv, (int)count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
	}
	MPI_Barrier(MPI_COMM_WORLD);
	start = (MPI_Wtime() - start) / iters;
	wrong = check(recv, count, ranks);
	MPI_Reduce(&wrong, &all, 1, MPI_UINT64_T, MPI_SUM, 0, MPI_COMM_WORLD);
	if (!rank)
		printf("{\"peer\": \"openmpi\", \"ranks\": %d, \"size\": %llu, \"wall_us\": %.1f, "
		       "\"wrong\": %llu}\n", ranks, (unsigned long long)bytes, start * 1e6,
		       (unsigned long long)all);
	free(send);
	free(recv);
	MPI_Finalize();
	return all != 0;
}
