. "${0%/*}/lib.sh"
mkdir src
cat >src/Makefile <<'END'
CFLAGS = -O1 -g -MMD
OBJECTS = main.o words.o sort.o
program: $(OBJECTS) libtext.a libshared.so
	$(CC) -o $@ $(OBJECTS) -L. -ltext -lshared -Wl,-rpath,'$$ORIGIN'
libtext.a: text.o
	$(AR) rcs $@ $^
libshared.so: shared.c
	$(CC) -shared -fPIC -o $@ $<
clean:
	rm -f *.o *.d *.a *.so program
-include $(OBJECTS:.o=.d)
END
echo 'int compare(const void *, const void *); char **words(char *, int *); int shout(char *); int add(int, int);' >src/all.h
cat >src/main.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include "all.h"
int main(void) {
  char text[] = "compilers read and write many small files";
  int count = 0;
  char **list = words(text, &count);
  qsort(list, count, sizeof *list, compare);
  for (int i = 0; i < count; i++) { shout(list[i]); printf("%s ", list[i]); }
  printf("%d\n", add(count, 1));
  return 0;
}
END
cat >src/words.c <<'END'
#include <stdlib.h>
#include <string.h>
#include "all.h"
char **words(char *text, int *count) {
  char **list = malloc(100 * sizeof *list);
  for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) list[(*count)++] = word;
  return list;
}
END
printf '#include <string.h>\n#include "all.h"\nint compare(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }\n' >src/sort.c
printf '#include <ctype.h>\n#include "all.h"\nint shout(char *word) { *word = toupper(*word); return 0; }\n' >src/text.c
echo 'int add(int a, int b) { return a + b; }' >src/shared.c
expected='And Compilers Files Many Read Small Write 8'

check build make -C src -j 2
check run is "$(src/program)" "$expected"
check 'nothing to do the second time' make -C src -q
check 'a changed source is built again, and only it' sh_ 'cd src; sleep 1; touch sort.c; make >../log; grep -e "-o sort.o" ../log; ! grep -e "-o main.o" ../log; ./program'
check 'a changed header is noticed' sh_ 'cd src; sleep 1; touch all.h; ! make -q; make; make -q'
check 'a running program can be replaced' sh_ 'cp /bin/sleep s; ./s 60 & p=$!; sleep 0.3; rm s; cp /bin/true s; ./s; kill $p'
check 'a program with debug information' sh_ 'readelf -S src/program | grep debug_info'
check 'clean and build elsewhere' sh_ "make -C src clean; cp -a src copy; make -C copy; [ \"\$(copy/program)\" = '$expected' ]"
check 'temporary files of the compiler on the share' sh_ "cd src; mkdir t; TMPDIR=\$PWD/t make; [ -z \"\$(ls t)\" ]"
