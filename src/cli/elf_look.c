/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <string.h>
#include <unistd.h>
#include "elf_look.h"

#define GLIBC_LOADER "ld-linux-x86-64.so.2"

/* A note whose owner is "Go": the build id that the Go linker writes. */
static bool has_go_note(Elf *elf, const GElf_Phdr *ph)
{
	Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)ph->p_offset, ph->p_filesz,
					      ph->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
	size_t pos = 0, name, desc;
	GElf_Nhdr nh;

	while (data && (pos = gelf_getnote(data, pos, &nh, &name, &desc)) != 0) {
		if (nh.n_namesz == 4 && !memcmp((const char *)data->d_buf + name, "Go\0", 4))
			return true;
	}
	return false;
}

static bool has_go_section(Elf *elf)
{
	Elf_Scn *scn = NULL;
	const char *name;
	GElf_Shdr sh;
	size_t strs;

	if (elf_getshdrstrndx(elf, &strs))
		return false;
	while ((scn = elf_nextscn(elf, scn)) != NULL) {
		if (!gelf_getshdr(scn, &sh))
			continue;
		name = elf_strptr(elf, strs, sh.sh_name);
		if (name && (!strcmp(name, ".go.buildinfo") || !strcmp(name, ".note.go.buildid")))
			return true;
	}
	return false;
}

static bool is_glibc(Elf *elf, const GElf_Phdr *ph)
{
	Elf_Data *data = elf_getdata_rawchunk(elf, (int64_t)ph->p_offset, ph->p_filesz, ELF_T_BYTE);
	const char *interp, *slash;

	if (!data || !data->d_size)
		return true;
	interp = data->d_buf;
	if (interp[data->d_size - 1] != '\0')
		return true;
	slash = strrchr(interp, '/');
	return !strcmp(slash ? slash + 1 : interp, GLIBC_LOADER);
}

static enum sl_reason look(Elf *elf, bool *other_libc)
{
	bool go = false, interp = false;
	GElf_Ehdr eh;
	GElf_Phdr ph;
	size_t i, n;

	if (elf_kind(elf) != ELF_K_ELF || !gelf_getehdr(elf, &eh) ||
	    gelf_getclass(elf) != ELFCLASS64 || eh.e_machine != EM_X86_64 ||
	    (eh.e_type != ET_EXEC && eh.e_type != ET_DYN))
		return SL_WHY_NOT_ELF;
	if (elf_getphdrnum(elf, &n))
		return SL_WHY_NOT_ELF;
	for (i = 0; i < n; i++) {
		if (!gelf_getphdr(elf, (int)i, &ph))
			break;
		if (ph.p_type == PT_NOTE && has_go_note(elf, &ph))
			go = true;
		if (ph.p_type != PT_INTERP)
			continue;
		interp = true;
		*other_libc = !is_glibc(elf, &ph);
	}
	if (go || has_go_section(elf))
		return SL_WHY_RAW_GO;
	if (!interp)
		return SL_WHY_STATIC;
	return SL_WHY_NONE;
}

enum sl_reason sl_elf_look(const char *path, bool *other_libc)
{
	enum sl_reason why = SL_WHY_NONE;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf *elf;

	*other_libc = false;
	if (fd < 0)
		return why;
	if (elf_version(EV_CURRENT) != EV_NONE) {
		elf = elf_begin(fd, ELF_C_READ, NULL);
		if (elf) {
			why = look(elf, other_libc);
			(void)elf_end(elf);
		}
	}
	(void)close(fd);
	return why;
}
