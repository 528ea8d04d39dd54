/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>
#include "insn.h"

/* What follows an opcode. */
enum {
	N = 0x00,  /* nothing */
	M = 0x01,  /* a ModRM byte, and what it asks for */
	I1 = 0x02, /* an immediate of 1 byte */
	I2 = 0x04, /* of 2 */
	IZ = 0x08, /* of 4, or 2 with an operand size prefix */
	I4 = 0x10, /* of 4, whatever the prefixes */
	X = 0x80,  /* no instruction in 64-bit mode, or handled apart */
};

static const uint8_t one_byte[256] = {
	/* 00 */ M, M, M, M, I1, IZ, X, X, M, M, M, M, I1, IZ, X, X,
	/* 10 */ M, M, M, M, I1, IZ, X, X, M, M, M, M, I1, IZ, X, X,
	/* 20 */ M, M, M, M, I1, IZ, X, X, M, M, M, M, I1, IZ, X, X,
	/* 30 */ M, M, M, M, I1, IZ, X, X, M, M, M, M, I1, IZ, X, X,
	/* 40 */ X, X, X, X, X, X, X, X, X, X, X, X, X, X, X, X,
	/* 50 */ N, N, N, N, N, N, N, N, N, N, N, N, N, N, N, N,
	/* 60 */ X, X, X, M, X, X, X, X, IZ, M | IZ, I1, M | I1, N, N, N, N,
	/* 70 */ I1, I1, I1, I1, I1, I1, I1, I1, I1, I1, I1, I1, I1, I1, I1, I1,
	/* 80 */ M | I1, M | IZ, X, M | I1, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 90 */ N, N, N, N, N, N, N, N, N, N, X, N, N, N, N, N,
	/* a0 */ X, X, X, X, N, N, N, N, I1, IZ, N, N, N, N, N, N,
	/* b0 */ I1, I1, I1, I1, I1, I1, I1, I1, X, X, X, X, X, X, X, X,
	/* c0 */ M | I1, M | I1, I2, N, X, X, M | I1, M | IZ, I1 | I2, N, I2, N, N, I1, X, N,
	/* d0 */ M, M, M, M, X, X, X, N, M, M, M, M, M, M, M, M,
	/* e0 */ I1, I1, I1, I1, I1, I1, I1, I1, I4, I4, X, I1, N, N, N, N,
	/* f0 */ X, N, X, X, N, N, M, M, N, N, N, N, N, N, M, M,
};

static const uint8_t two_byte[256] = {
	/* 00 */ M, M, M, M, X, N, N, N, N, N, X, N, X, M, N, M | I1,
	/* 10 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 20 */ M, M, M, M, X, X, X, X, M, M, M, M, M, M, M, M,
	/* 30 */ N, N, N, N, N, N, X, N, X, X, X, X, X, X, X, X,
	/* 40 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 50 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 60 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* 70 */ M | I1, M | I1, M | I1, M | I1, M, M, M, N, M, M, X, X, M, M, M, M,
	/* 80 */ I4, I4, I4, I4, I4, I4, I4, I4, I4, I4, I4, I4, I4, I4, I4, I4,
	/* 90 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* a0 */ N, N, N, M, M | I1, M, M, M, N, N, N, M, M | I1, M, M, M,
	/* b0 */ M, M, M, M, M, M, M, M, M, M, M | I1, M, M, M, M, M,
	/* c0 */ M, M, M | I1, M, M | I1, M | I1, M | I1, M, N, N, N, N, N, N, N, N,
	/* d0 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* e0 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
	/* f0 */ M, M, M, M, M, M, M, M, M, M, M, M, M, M, M, M,
};

struct state {
	const uint8_t *p;
	size_t len, pos;
	uint8_t rex, rep;
	bool size16, addr32, vex;
	uint8_t map, op, modrm;
	uint8_t imm_pos, imm_len;
};

static bool byte(struct state *s, uint8_t *b)
{
	if (s->pos >= s->len || s->pos >= SL_INSN_MAX)
		return false;
	*b = s->p[s->pos++];
	return true;
}

static bool skip(struct state *s, size_t n)
{
	s->pos += n;
	return s->pos <= s->len && s->pos <= SL_INSN_MAX;
}

/* Return false at the end of the bytes; else @b is the first byte that is no prefix. */
static bool prefixes(struct state *s, uint8_t *b)
{
	for (;;) {
		if (!byte(s, b))
			return false;
		switch (*b) {
		case 0x66:
			s->size16 = true;
			break;
		case 0x67:
			s->addr32 = true;
			break;
		case 0xf2:
		case 0xf3:
			s->rep = *b;
			break;
		case 0x26:
		case 0x2e:
		case 0x36:
		case 0x3e:
		case 0x64:
		case 0x65:
		case 0xf0:
			break;
		default:
			if ((*b & 0xf0) != 0x40)
				return true;
			s->rex = *b; /* counts only if the opcode is next */
			continue;
		}
		s->rex = 0;
	}
}

/* ModRM, SIB and displacement. */
static bool modrm(struct state *s, struct sl_insn *in)
{
	uint8_t mod, rm, sib = 0;

	if (!byte(s, &s->modrm))
		return false;
	mod = s->modrm >> 6;
	rm = s->modrm & 7;
	if (mod == 3)
		return true;
	if (rm == 4 && !byte(s, &sib))
		return false;
	if (mod == 1)
		return skip(s, 1);
	if (mod == 2)
		return skip(s, 4);
	if (rm == 5) {
		in->rip = true;
		in->disp = (uint8_t)s->pos;
		return skip(s, 4);
	}
	return rm == 4 && (sib & 7) == 5 ? skip(s, 4) : true;
}

static bool immediate(struct state *s, uint8_t what)
{
	unsigned n = 0;

	n += what & I1 ? 1 : 0;
	n += what & I2 ? 2 : 0;
	n += what & IZ ? (s->size16 && !(s->rex & 8) ? 2 : 4) : 0;
	n += what & I4 ? 4 : 0;
	s->imm_pos = (uint8_t)s->pos;
	s->imm_len = (uint8_t)n;
	return skip(s, n);
}

/* VEX, EVEX and XOP: all have a ModRM byte but vzeroupper; the opcode map tells the immediate. */
static bool vector(struct state *s, struct sl_insn *in, uint8_t map)
{
	uint8_t imm = 0;

	s->vex = true;
	if (!byte(s, &s->op))
		return false;
	s->map = map;
	switch (map) {
	case 1:
		if (s->op == 0x77)
			return true;
		if ((s->op >= 0x70 && s->op <= 0x73) || s->op == 0xc2 ||
		    (s->op >= 0xc4 && s->op <= 0xc6))
			imm = I1;
		break;
	case 2:
	case 5:
	case 6:
	case 9:
		break;
	case 3:
	case 8:
		imm = I1;
		break;
	case 10:
		imm = I4;
		break;
	default:
		return false;
	}
	return modrm(s, in) && immediate(s, imm);
}

static bool vex(struct state *s, struct sl_insn *in, uint8_t first)
{
	uint8_t b[3];
	unsigned i, n = first == 0xc5 ? 1 : first == 0x62 ? 3 : 2;

	for (i = 0; i < n; i++)
		if (!byte(s, &b[i]))
			return false;
	if (first == 0xc5)
		return vector(s, in, 1);
	if (first == 0x62)
		return (b[1] & 4) && vector(s, in, b[0] & 7);
	return vector(s, in, b[0] & 0x1f);
}

/* The opcodes of the first table that are marked X, with what they have of their own. */
static bool odd(struct state *s, struct sl_insn *in)
{
	uint8_t op = s->op;

	if (op >= 0xb8 && op <= 0xbf) { /* mov $imm: 8 bytes with REX.W */
		s->imm_pos = (uint8_t)s->pos;
		s->imm_len = s->rex & 8 ? 8 : s->size16 ? 2 : 4;
		return skip(s, s->imm_len);
	}
	if (op >= 0xa0 && op <= 0xa3)
		return skip(s, s->addr32 ? 4 : 8);
	if (op == 0xc4 || op == 0xc5 || op == 0x62)
		return vex(s, in, op);
	return false;
}

static bool two(struct state *s, struct sl_insn *in)
{
	uint8_t what;

	if (!byte(s, &s->op))
		return false;
	if (s->op == 0x38 || s->op == 0x3a) {
		s->map = s->op == 0x38 ? 2 : 3;
		return byte(s, &s->op) && modrm(s, in) && (s->map == 2 || immediate(s, I1));
	}
	s->map = 1;
	what = two_byte[s->op];
	if (what & X)
		return false;
	if (s->op >= 0x20 && s->op <= 0x23) /* control registers: always register forms */
		return skip(s, 1);
	if (s->op == 0x78 && (s->size16 || s->rep == 0xf2)) /* extrq, insertq */
		what = M | I1 | I1 << 1;
	if ((what & M) && !modrm(s, in))
		return false;
	if (s->op == 0x78 && what != M)
		return skip(s, 2);
	return immediate(s, what);
}

static bool opcode(struct state *s, struct sl_insn *in, uint8_t b)
{
	uint8_t what;

	if (b == 0x0f)
		return two(s, in);
	s->op = b;
	/* 8f is pop, whose reg field is 0, or the first byte of XOP, whose map is 8 or more */
	if (b == 0x8f && s->pos < s->len && (s->p[s->pos] & 0x1f) >= 8)
		return vex(s, in, b);
	what = one_byte[b];
	if (what & X)
		return odd(s, in);
	if ((what & M) && !modrm(s, in))
		return false;
	if ((b == 0xf6 || b == 0xf7) && (s->modrm & 0x38) <= 8)
		what = b == 0xf6 ? I1 : IZ;
	return immediate(s, what);
}

static int64_t relative(const struct state *s)
{
	int32_t d = 0;

	if (s->imm_len == 1)
		d = (int8_t)s->p[s->imm_pos];
	else
		memcpy(&d, s->p + s->imm_pos, 4);
	return (int64_t)s->pos + d;
}

static bool is_eax_rm(const struct state *s)
{
	return (s->modrm & 0xc7) == 0xc0 && !(s->rex & 1);
}

static bool is_eax_reg(const struct state *s)
{
	return !(s->modrm & 0x38) && !(s->rex & 4);
}

/* mov, lea, xor, add ... between registers and memory: which of the two operands is written? */
static bool keeps_eax(const struct state *s)
{
	uint8_t op = s->op;

	if (s->vex)
		return false;
	if (s->map == 1) /* nop, endbr64; movzx, movsx */
		return op == 0x1e || op == 0x1f ||
		       ((op & 0xf6) == 0xb6 && !is_eax_reg(s));
	if (s->map)
		return false;
	if (op >= 0x50 && op <= 0x5f)
		return op < 0x58 || op > 0x58 || (s->rex & 1);
	if (op >= 0xb8 && op <= 0xbf)
		return op != 0xb8 || (s->rex & 1);
	switch (op) {
	case 0x38: /* cmp, test */
	case 0x39:
	case 0x3a:
	case 0x3b:
	case 0x3c:
	case 0x3d:
	case 0x84:
	case 0x85:
	case 0xa8:
	case 0xa9:
	case 0x90:
		return op != 0x90 || !(s->rex & 1);
	case 0x80: /* a byte register may be ah */
	case 0x88:
	case 0xc6:
		return s->modrm < 0xc0 ||
		       (!is_eax_rm(s) && (s->rex || (s->modrm & 7) != 4));
	case 0x01:
	case 0x09:
	case 0x21:
	case 0x29:
	case 0x31:
	case 0x81:
	case 0x83:
	case 0x89:
	case 0xc1:
	case 0xc7:
		return !is_eax_rm(s);
	case 0x03:
	case 0x0b:
	case 0x23:
	case 0x2b:
	case 0x33:
	case 0x63:
	case 0x8b:
	case 0x8d:
		return !is_eax_reg(s);
	default:
		return false;
	}
}

static bool sets_eax(const struct state *s, struct sl_insn *in)
{
	if (s->map || s->vex)
		return false;
	if ((s->op == 0x31 || s->op == 0x33) && s->modrm == 0xc0 && !(s->rex & 5) && !s->size16) {
		in->imm = 0;
		return true;
	}
	if (s->imm_len != 4 || !((s->op == 0xb8 && !(s->rex & 1)) ||
				 (s->op == 0xc7 && is_eax_rm(s) && !(s->modrm & 0x38))))
		return false;
	memcpy(&in->imm, s->p + s->imm_pos, 4);
	return true;
}

static bool goes(const struct state *s, struct sl_insn *in)
{
	uint8_t op = s->op, reg = s->modrm >> 3 & 7;

	if (s->vex)
		return false;
	if (s->map == 1) {
		if (op == 0x05 || op == 0x34)
			in->kind = SL_INSN_SYSCALL;
		else if ((op & 0xf0) == 0x80)
			in->kind = SL_INSN_BRANCH;
		else if (op == 0x0b || op == 0xb9 || op == 0xff)
			in->kind = SL_INSN_AWAY;
		else
			return false;
	} else if (s->map) {
		return false;
	} else if ((op & 0xf0) == 0x70 || (op >= 0xe0 && op <= 0xe3)) {
		in->kind = SL_INSN_BRANCH;
	} else if (op == 0xe8) {
		in->kind = SL_INSN_CALL;
	} else if (op == 0xe9 || op == 0xeb) {
		in->kind = SL_INSN_JUMP;
	} else if (op == 0xcc || op == 0xf1) { /* a debugger's */
		in->kind = SL_INSN_AWAY;
	} else if (op == 0xc2 || op == 0xc3 || op == 0xca || op == 0xcb || op == 0xcf || op == 0xf4) {
		in->kind = SL_INSN_AWAY;
	} else if (op == 0xcd) {
		in->kind = s->p[s->imm_pos] == 0x80 ? SL_INSN_SYSCALL : SL_INSN_OTHER;
	} else if (op == 0xff && (reg == 2 || reg == 3)) {
		in->kind = SL_INSN_CALL_IND;
	} else if (op == 0xff && (reg == 4 || reg == 5)) {
		in->kind = SL_INSN_AWAY;
	} else if (op == 0xc7 && s->modrm == 0xf8) { /* xbegin */
		in->kind = SL_INSN_BRANCH;
	} else {
		return false;
	}
	if (in->kind == SL_INSN_BRANCH || in->kind == SL_INSN_CALL || in->kind == SL_INSN_JUMP)
		in->target = relative(s);
	return true;
}

unsigned sl_insn_decode(const uint8_t *p, size_t len, struct sl_insn *in)
{
	struct state s = {.p = p, .len = len};
	uint8_t b;

	memset(in, 0, sizeof(*in));
	if (!prefixes(&s, &b) || !opcode(&s, in, b))
		return 0;
	in->len = (uint8_t)s.pos;
	if (goes(&s, in))
		return in->len;
	if (sets_eax(&s, in))
		in->kind = SL_INSN_EAX;
	else if (keeps_eax(&s))
		in->kind = SL_INSN_KEEPS;
	return in->len;
}
