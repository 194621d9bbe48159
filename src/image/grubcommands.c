#include "image/grubcommands.h"
#include "base/io.h"
#include "base/json.h"
#include "disk/filesystem.h"
#include "image/text.h"
#include "measure/grub_image.h"
#include "measure/grub_pattern.h"

#include <string.h>
#include <sys/mman.h>

static int no_memory(struct error *err)
{
    return error_set(err, ENOMEM, "out of memory");
}

/* ---- one command ---- */

/* In hash.json text is UTF-8. Of other text, all that is not ASCII is taken for any value. */
static void make_utf8(struct buffer *b)
{
    _json_ json_t *text = json_stringn((const char *)b->data, b->size);
    for (size_t i = 0; !text && i < b->size; i++)
        if (b->data[i] >= 0x80)
            b->data[i] = '*';
}

static int add(char ***list, struct buffer *b, struct error *err)
{
    make_utf8(b);
    int r = buffer_append(b, "", 1);
    if (r == 0 && !strings_contain(*list, (const char *)b->data))
        r = strings_add(list, (const char *)b->data);
    return r < 0 ? no_memory(err) : 0;
}

/* GRUB sets this one itself, to the same in every version since 2.00. */
#define ID_OPTION GRUBCFG_VAR("menuentry_id_option")

static int put_word(struct buffer *b, const char *word)
{
    int r = 0;
    bool any = false; /* the last thing put is a * */
    while (r == 0 && *word) {
        size_t n = strcspn(word, "\001");
        if (n > 0) {
            r = grub_pattern_put(b, BYTES(word, n));
            word += n;
            any = false;
        } else {
            bool id = starts_with(word, ID_OPTION);
            if (id || !any)
                r = buffer_append(b, id ? "--id" : GRUB_PATTERN_ANY, id ? 4 : 1);
            word = strchr(word, GRUBCFG_VAR_CLOSE) + 1;
            any = !id;
        }
    }
    return r;
}

static int put_words(struct buffer *b, char *const *words)
{
    int r = 0;
    for (size_t i = 0; r == 0 && words[i]; i++) {
        r = i > 0 || b->size > 0 ? buffer_append(b, " ", 1) : 0;
        if (r == 0)
            r = put_word(b, words[i]);
    }
    return r;
}

static int add_command(char ***list, const struct grub_command *c, struct error *err)
{
    _buffer_ struct buffer b = {0};
    int r = c->negated ? buffer_append(&b, "!", 1) : 0;
    if (r == 0)
        r = put_words(&b, c->words);
    return r < 0 ? no_memory(err) : add(list, &b, err);
}

/* ---- menu entries ---- */

/*
 * A block is measured as GRUB's reader gives it: without carriage returns and without lines that
 * begin with "#" (grub-core/normal/main.c, read_config_file_getline).
 */
static int put_block(struct buffer *b, struct bytes body)
{
    int r = buffer_append(b, " {", 2);
    bool line_begins = false, comment = false;
    for (size_t i = 0; r == 0 && i < body.size; i++) {
        uint8_t c = body.data[i];
        comment = (comment || (line_begins && c == '#'));
        if (c != '\r' && !comment)
            r = grub_pattern_put(b, BYTES(&c, 1));
        comment = comment && c != '\n';
        line_begins = c == '\n';
    }
    return r < 0 ? r : buffer_append(b, "}", 1);
}

/* The command itself, and the one that GRUB puts before the block of an entry that it runs. */
static int add_entry(char ***list, const struct grub_entry *e, struct error *err)
{
    _buffer_ struct buffer b = {0}, parameters = {0};
    char *words[] = {(char *)"setparams", e->title, NULL};
    int r = put_words(&b, e->words);
    if (r == 0)
        r = put_block(&b, e->body);
    if (r == 0)
        r = put_words(&parameters, words);
    if (r < 0)
        return no_memory(err);
    r = add(list, &b, err);
    return r < 0 ? r : add(list, &parameters, err);
}

/* ---- configurations ---- */
int grub_commands_of_config(char ***list, const struct grub_config *c, struct error *err)
{
    int r = 0;
    size_t entry = 0;
    for (size_t i = 0; r == 0 && i < c->command_count; i++) {
        for (; r == 0 && entry < c->entry_count && (int)entry <= c->commands[i].entry; entry++)
            r = add_entry(list, &c->entries[entry], err);
        if (r == 0)
            r = add_command(list, &c->commands[i], err);
    }
    for (; r == 0 && entry < c->entry_count; entry++)
        r = add_entry(list, &c->entries[entry], err);
    return r;
}

int grub_commands_of_text(char ***list, struct bytes text, const char *name, struct error *err)
{
    _grub_config_ struct grub_config c = {0};
    int r = grub_config_parse(&c, text, name, err);
    return r < 0 ? r : grub_commands_of_config(list, &c, err);
}

/* ---- the program ---- */
static int read_memdisk(struct bytes disk, struct buffer *ret, struct error *err)
{
    static const char *const paths[] = {"/grub.cfg", "/boot/grub/grub.cfg"};
    _close_ int fd = memfd_create("memdisk", MFD_CLOEXEC);
    _blockdev_ struct blockdev *device = NULL;
    _filesystem_ struct filesystem *fs = NULL;
    if (fd < 0)
        return error_errno(err, errno, "a file in memory");
    int r = write_exact(fd, disk.data, disk.size);
    if (r < 0)
        return error_errno(err, -r, "a file in memory");
    if (r == 0)
        r = blockdev_from_fd(&device, fd, "GRUB's memdisk", false, err);
    if (r == 0)
        r = filesystem_open(&fs, device, false, err);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(paths); i++)
        if (filesystem_exists(fs, paths[i]))
            return filesystem_read_file(fs, paths[i], GRUBCFG_MAX, ret, err);
    return r;
}

int grub_commands_of_program(char ***list, struct bytes program, struct error *err)
{
    static const char known[] = "[ -z $prefix -o ! -e $prefix ]\n"
                                "! search --file --set=root /.disk/info\n"
                                "search --file --set=root /.disk/mini-info\n"
                                "set prefix=($root)/boot/grub\n"
                                "[ -e $prefix/x86_64-efi/grub.cfg ]\n"
                                "[ -e $prefix/arm64-efi/grub.cfg ]\n"
                                "[ -e $prefix/grub.cfg ]\n"
                                "source $prefix/x86_64-efi/grub.cfg\n"
                                "source $prefix/arm64-efi/grub.cfg\n"
                                "source $prefix/grub.cfg\n"
                                "source $cmdpath/grub.cfg\n";
    struct bytes disk = grub_image_memdisk(program);
    struct error ignored = {0};
    _buffer_ struct buffer text = {0};
    if (disk.size == 0)
        return 0;
    if (read_memdisk(disk, &text, &ignored) == 0 &&
        grub_commands_of_text(list, buffer_bytes(&text), "grub.cfg", &ignored) == 0)
        return 0;
    return grub_commands_of_text(list, BYTES_STR(known), "grub.cfg", err);
}
