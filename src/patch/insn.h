/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * insn.h - the length of an x86-64 instruction, and the little else that scanning and patching need
 *
 * A complete length decoder for 64-bit code (legacy, VEX, EVEX and XOP encodings), with no tables but
 * its own. It says of an instruction how long it is, whether it goes elsewhere, whether it depends on its own
 * address, and whether it leaves a constant in eax. What it does not know is no instruction (0).
 * The unit test compares it with Zydis, over all code of some libraries; Debian has Zydis only as a shared
 * library, and libscilan.so links libc alone.
 */
#ifndef SL_INSN_H
#define SL_INSN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_INSN_MAX 15

enum sl_insn_kind {
	SL_INSN_OTHER,
	SL_INSN_SYSCALL, /* syscall, sysenter, int 0x80 */
	SL_INSN_CALL,	 /* relative: @target is set */
	SL_INSN_JUMP,	 /* relative, never falls through: @target is set */
	SL_INSN_BRANCH,	 /* relative and conditional: @target is set */
	SL_INSN_AWAY,	 /* ret, hlt, a breakpoint, indirect jump: what follows is not reached from here */
	SL_INSN_CALL_IND,
	SL_INSN_EAX,  /* leaves @imm in eax: mov $imm, xor eax,eax */
	SL_INSN_KEEPS /* known not to write eax, and to go nowhere */
};

struct sl_insn {
	uint8_t len;
	uint8_t kind;	/* enum sl_insn_kind */
	bool rip;	/* addresses memory relative to itself, by 4 bytes at @disp */
	uint8_t disp;
	int64_t target; /* relative to the first byte of the instruction */
	uint32_t imm;
};

/**
 * sl_insn_decode() - one instruction
 * @p, @len: where, and how many bytes may be looked at
 *
 * Return: its length; 0: no instruction that this decoder knows, or cut off.
 */
unsigned sl_insn_decode(const uint8_t *p, size_t len, struct sl_insn *in);

#endif
