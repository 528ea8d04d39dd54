/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_insn.c - the length decoder: cases by hand, and all of libc's code against Zydis
 *
 * Zydis is asked at every byte of the code, not only where instructions begin: an offset inside one
 * is as good a test of odd encodings as a generator would make.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "insn.h"
#ifdef HAVE_ZYDIS
#include <Zydis/Zydis.h>
#endif

static const struct insn_case {
	const char *what;
	uint8_t bytes[16];
	size_t have;
	unsigned len;
	enum sl_insn_kind kind;
	int64_t target;
	uint32_t imm;
} cases[] = {
	{"syscall", {0x0f, 0x05}, 2, 2, SL_INSN_SYSCALL, 0, 0},
	{"sysenter", {0x0f, 0x34}, 2, 2, SL_INSN_SYSCALL, 0, 0},
	{"int 0x80", {0xcd, 0x80}, 2, 2, SL_INSN_SYSCALL, 0, 0},
	{"int3 by cd", {0xcd, 0x03}, 2, 2, SL_INSN_OTHER, 0, 0},
	{"mov $202,%eax", {0xb8, 0xca, 0, 0, 0}, 5, 5, SL_INSN_EAX, 0, 202},
	{"mov $202,%rax", {0x48, 0xc7, 0xc0, 0xca, 0, 0, 0}, 7, 7, SL_INSN_EAX, 0, 202},
	{"mov $1,%r8d", {0x41, 0xb8, 1, 0, 0, 0}, 6, 6, SL_INSN_KEEPS, 0, 0},
	{"xor %eax,%eax", {0x31, 0xc0}, 2, 2, SL_INSN_EAX, 0, 0},
	{"xor %r8d,%eax", {0x44, 0x31, 0xc0}, 3, 3, SL_INSN_OTHER, 0, 0},
	{"xor %ebx,%ebx", {0x31, 0xdb}, 2, 2, SL_INSN_KEEPS, 0, 0},
	{"mov %rdi,%rax", {0x48, 0x89, 0xf8}, 3, 3, SL_INSN_OTHER, 0, 0},
	{"mov %ecx,%r10d", {0x41, 0x89, 0xca}, 3, 3, SL_INSN_KEEPS, 0, 0},
	{"mov $1,%ah", {0xb4, 0x01}, 2, 2, SL_INSN_OTHER, 0, 0},
	{"mov %cl,%ah", {0x88, 0xcc}, 2, 2, SL_INSN_OTHER, 0, 0},
	{"xor $127,%sil", {0x40, 0x80, 0xf6, 0x7f}, 4, 4, SL_INSN_KEEPS, 0, 0},
	{"pop %rax", {0x58}, 1, 1, SL_INSN_OTHER, 0, 0},
	{"endbr64", {0xf3, 0x0f, 0x1e, 0xfa}, 4, 4, SL_INSN_KEEPS, 0, 0},
	{"jmp back", {0xeb, 0xfe}, 2, 2, SL_INSN_JUMP, 0, 0},
	{"je", {0x74, 0x10}, 2, 2, SL_INSN_BRANCH, 18, 0},
	{"jne far", {0x0f, 0x85, 0, 1, 0, 0}, 6, 6, SL_INSN_BRANCH, 262, 0},
	{"call", {0xe8, 0xfb, 0xff, 0xff, 0xff}, 5, 5, SL_INSN_CALL, 0, 0},
	{"int3", {0xcc}, 1, 1, SL_INSN_AWAY, 0, 0},
	{"ret", {0xc3}, 1, 1, SL_INSN_AWAY, 0, 0},
	{"jmp *%rax", {0xff, 0xe0}, 2, 2, SL_INSN_AWAY, 0, 0},
	{"cmpb $0,%fs:0x18", {0x64, 0x80, 0x3c, 0x25, 0x18, 0, 0, 0, 0}, 9, 9, SL_INSN_KEEPS, 0, 0},
	{"cut off", {0xe8, 0, 0, 0}, 4, 0, SL_INSN_OTHER, 0, 0},
	{"nothing", {0}, 0, 0, SL_INSN_OTHER, 0, 0},
	{"push %es, not in 64-bit mode", {0x06, 0, 0, 0, 0, 0}, 6, 0, SL_INSN_OTHER, 0, 0},
};

static void by_hand(void **state)
{
	struct sl_insn in;
	unsigned i, len;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		len = sl_insn_decode(cases[i].bytes, cases[i].have, &in);
		if (len != cases[i].len || (len && (in.kind != cases[i].kind ||
						    in.target != cases[i].target ||
						    in.imm != cases[i].imm)))
			fail_msg("%s: length %u kind %d target %ld imm %u", cases[i].what, len,
				 in.kind, (long)in.target, in.imm);
	}
}

#ifdef HAVE_ZYDIS
struct sum {
	unsigned long same, unknown, objects;
};

static bool writes_eax(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
	unsigned i;

	for (i = 0; i < z->operand_count; i++)
		if ((ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) &&
		    ops[i].type == ZYDIS_OPERAND_TYPE_REGISTER &&
		    ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64,
						     ops[i].reg.value) == ZYDIS_REGISTER_RAX)
			return true;
	return false;
}

static bool relative(const ZydisDecodedInstruction *z, const ZydisDecodedOperand *ops)
{
	return z->operand_count && ops[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE &&
	       ops[0].imm.is_relative;
}

static void one(const ZydisDecoder *dec, const uint8_t *p, size_t left, struct sum *sum)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction z;
	struct sl_insn in;
	unsigned len;

	if (ZYAN_FAILED(ZydisDecoderDecodeFull(dec, p, left, &z, ops)))
		return;
	if (z.meta.isa_ext >= ZYDIS_ISA_EXT_KNC && z.meta.isa_ext <= ZYDIS_ISA_EXT_KNCV) /* coprocessors of 2012 */
		return;
	len = sl_insn_decode(p, left, &in);
	if (len != z.length)
		goto differs;
	sum->same++;
	if ((in.kind == SL_INSN_SYSCALL) !=
	    (z.mnemonic == ZYDIS_MNEMONIC_SYSCALL || z.mnemonic == ZYDIS_MNEMONIC_SYSENTER ||
	     (z.mnemonic == ZYDIS_MNEMONIC_INT && ops[0].imm.value.u == 0x80)))
		goto differs;
	if ((in.kind == SL_INSN_CALL || in.kind == SL_INSN_JUMP || in.kind == SL_INSN_BRANCH) !=
	    relative(&z, ops))
		goto differs;
	if (relative(&z, ops) && in.target != ops[0].imm.value.s + z.length)
		goto differs;
	if (in.rip != !!(z.attributes & ZYDIS_ATTRIB_IS_RELATIVE) && !relative(&z, ops))
		goto differs;
	if (in.kind == SL_INSN_KEEPS && writes_eax(&z, ops))
		goto differs;
	if (in.kind == SL_INSN_EAX && !writes_eax(&z, ops))
		goto differs;
	return;
differs:
	fail_msg("%02x %02x %02x %02x %02x %02x %02x %02x (%s): Zydis %u, we %u kind %u", p[0], p[1], p[2],
		 p[3], p[4], p[5], p[6], p[7], ZydisMnemonicGetString(z.mnemonic), z.length, len,
		 in.kind);
}

static void sweep(const uint8_t *p, size_t len, struct sum *sum)
{
	ZydisDecoder dec;
	size_t at;

	ZydisDecoderInit(&dec, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (at = 0; at < len; at++)
		one(&dec, p + at, len - at, sum);
}

static void libraries(struct sum *sum)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long low, high;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, " r-xp ") || (!strstr(line, "libc.so") && !strstr(line, "libZydis")))
			continue;
		assert_int_equal(sscanf(line, "%lx-%lx", &low, &high), 2);
		sweep((const void *)low, high - low, sum);
		sum->objects++;
	}
	(void)fclose(f);
}
#endif

static void as_zydis(void **state)
{
	(void)state;
#ifdef HAVE_ZYDIS
	struct sum sum = {0};

	libraries(&sum);
	assert_true(sum.objects >= 2);
	assert_true(sum.same > 1000000);
#else
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(by_hand),
		cmocka_unit_test(as_zydis),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
