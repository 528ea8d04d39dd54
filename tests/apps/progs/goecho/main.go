// goecho server PORT: an echo server. goecho client PORT BYTES: BYTES there and back, compared, then
// "ok"; in the middle "half", and a line is waited for. Go makes its system calls itself.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"strconv"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "goecho:", err)
		os.Exit(1)
	}
}

func serve(address string) {
	listener, err := net.Listen("tcp", address)
	check(err)
	for {
		conn, err := listener.Accept()
		check(err)
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}

func talk(address string, size int) {
	conn, err := net.Dial("tcp", address)
	check(err)
	sent := make([]byte, size)
	rand.New(rand.NewSource(1)).Read(sent)
	go func() {
		_, err := conn.Write(sent)
		check(err)
	}()
	got := make([]byte, size)
	_, err = io.ReadFull(conn, got[:size/2])
	check(err)
	fmt.Println("half")
	bufio.NewReader(os.Stdin).ReadString('\n')
	_, err = io.ReadFull(conn, got[size/2:])
	check(err)
	a, b := sha256.Sum256(sent), sha256.Sum256(got)
	if !bytes.Equal(a[:], b[:]) {
		check(fmt.Errorf("what came back differs"))
	}
	fmt.Println("ok")
}

func main() {
	address := "127.0.0.1:" + os.Args[2]
	if os.Args[1] == "server" {
		serve(address)
		return
	}
	size, err := strconv.Atoi(os.Args[3])
	check(err)
	talk(address, size)
}
