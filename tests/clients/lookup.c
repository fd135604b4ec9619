/* Looks a name up so many times, as any Linux program over glibc does: a line of addresses for each. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  for (int times = atoi(argv[2]); times > 0; times--) {
    struct addrinfo hints, *found;
    memset(&hints, 0, sizeof hints);
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    int error = getaddrinfo(argv[1], "80", &hints, &found);
    if (error != 0) {
      printf("error %s\n", gai_strerror(error));
      continue;
    }
    for (struct addrinfo *each = found; each != NULL; each = each->ai_next) {
      char text[INET6_ADDRSTRLEN];
      void *address = each->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)each->ai_addr)->sin_addr
                                                 : (void *)&((struct sockaddr_in6 *)each->ai_addr)->sin6_addr;
      printf("%s%s", each == found ? "" : " ", inet_ntop(each->ai_family, address, text, sizeof text));
    }
    printf("\n");
    freeaddrinfo(found);
  }
  return 0;
}
