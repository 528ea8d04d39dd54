/* SPDX-License-Identifier: BSD-2-Clause */
/* MPI: messages of all sizes there and back between the first and the last, then what all do together. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIG  (1 << 20)
#define EACH 50000

static int rank, ranks;
static unsigned char out[BIG], back[BIG];

static void check(int good, const char *what)
{
	if (good)
		return;
	printf("bad: %s\n", what);
	MPI_Abort(MPI_COMM_WORLD, 1);
}

static void there_and_back(int len, int turn)
{
	if (rank == 0) {
		for (int i = 0; i < len; i++)
			out[i] = (unsigned char)(i * 7 + len + turn);
		MPI_Send(out, len, MPI_BYTE, ranks - 1, 0, MPI_COMM_WORLD);
		MPI_Recv(back, len, MPI_BYTE, ranks - 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
		check(!memcmp(out, back, (size_t)len), "there and back");
	} else if (rank == ranks - 1) {
		MPI_Recv(back, len, MPI_BYTE, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
		MPI_Send(back, len, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
	}
}

static void all_to_all(void)
{
	int *a = malloc((size_t)ranks * EACH * sizeof(*a)), *b = malloc((size_t)ranks * EACH * sizeof(*b));

	for (int i = 0; i < ranks * EACH; i++)
		a[i] = rank * 1000000 + i;
	MPI_Alltoall(a, EACH, MPI_INT, b, EACH, MPI_INT, MPI_COMM_WORLD);
	for (int i = 0; i < ranks * EACH; i++)
		check(b[i] == i / EACH * 1000000 + rank * EACH + i % EACH, "all to all");
	free(a);
	free(b);
}

int main(int argc, char **argv)
{
	long mine, sum = 0;

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &ranks);
	for (int len = 1; len <= BIG; len *= 4)
		for (int turn = 0; turn < 20; turn++)
			there_and_back(len, turn);
	mine = rank + 1;
	for (int turn = 0; turn < 300; turn++)
		MPI_Allreduce(&mine, &sum, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
	check(sum == ranks * (ranks + 1) / 2, "the sum");
	all_to_all();
	if (rank == 0)
		printf("good\n");
	MPI_Finalize();
	return 0;
}
